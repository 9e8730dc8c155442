import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.ConsumerGroupListing;
import org.apache.kafka.clients.admin.MemberDescription;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;

/** What Kafka's Admin does. */
final class Administrator {
  private final Properties settings;

  Administrator(Properties settings) {
    this.settings = settings;
  }

  Map<String, Object> serve(JsonNode ask) throws Exception {
    try (Admin admin = Admin.create(settings)) {
      switch (ask.get("do").asText()) {
        case "create_topic":
          return createTopic(admin, ask);
        case "topic":
          return topic(admin, ask.get("topic").asText());
        case "delete_topic":
          admin.deleteTopics(List.of(ask.get("topic").asText())).all().get();
          return Map.of();
        case "grow":
          NewPartitions wanted = NewPartitions.increaseTo(ask.get("partitions").asInt());
          admin.createPartitions(Map.of(ask.get("topic").asText(), wanted)).all().get();
          return Map.of();
        case "configs":
          return configs(admin, resource(ask));
        case "set_config":
          return setConfig(admin, ask);
        case "delete_records":
          RecordsToDelete before = RecordsToDelete.beforeOffset(ask.get("before").asLong());
          admin.deleteRecords(Map.of(partition(ask), before)).all().get();
          return Map.of();
        case "groups":
          return groups(admin);
        case "group":
          return group(admin, ask.get("group").asText());
        case "delete_group":
          admin.deleteConsumerGroups(List.of(ask.get("group").asText())).all().get();
          return Map.of();
        case "committed":
          return committed(admin, ask);
        case "set_committed":
          OffsetAndMetadata offset = new OffsetAndMetadata(ask.get("offset").asLong());
          Map<TopicPartition, OffsetAndMetadata> offsets = Map.of(partition(ask), offset);
          admin.alterConsumerGroupOffsets(ask.get("group").asText(), offsets).all().get();
          return Map.of();
        case "nodes":
          return Map.of("count", admin.describeCluster().nodes().get().size());
        default:
          throw new IllegalArgumentException(ask.toString());
      }
    }
  }

  private static TopicPartition partition(JsonNode ask) {
    return new TopicPartition(ask.get("topic").asText(), ask.get("partition").asInt());
  }

  private static ConfigResource resource(JsonNode ask) {
    return new ConfigResource(ConfigResource.Type.TOPIC, ask.get("topic").asText());
  }

  private static Map<String, Object> createTopic(Admin admin, JsonNode ask) throws Exception {
    Map<String, String> configs = new HashMap<>();
    ask.path("configs")
        .fields()
        .forEachRemaining(row -> configs.put(row.getKey(), row.getValue().asText()));
    String name = ask.get("topic").asText();
    NewTopic topic = new NewTopic(name, ask.get("partitions").asInt(), (short) 1).configs(configs);
    admin.createTopics(List.of(topic)).all().get();
    return Map.of();
  }

  private static Map<String, Object> topic(Admin admin, String name) throws Exception {
    Object told = admin.describeTopics(List.of(name));
    Object all;
    try {
      all = told.getClass().getMethod("allTopicNames").invoke(told);
    } catch (NoSuchMethodException before31) {
      all = told.getClass().getMethod("all").invoke(told);
    }
    TopicDescription found = (TopicDescription) ((Map<?, ?>) ((KafkaFuture<?>) all).get()).get(name);
    List<Integer> leaders = new ArrayList<>();
    found.partitions().forEach(one -> leaders.add(one.leader().id()));
    return Map.of("partitions", found.partitions().size(), "leaders", leaders);
  }

  private static Map<String, Object> configs(Admin admin, ConfigResource topic) throws Exception {
    Map<String, Object> values = new TreeMap<>();
    for (ConfigEntry entry : admin.describeConfigs(List.of(topic)).all().get().get(topic).entries()) {
      values.put(entry.name(), entry.value());
    }
    return Map.of("configs", values);
  }

  private static Map<String, Object> setConfig(Admin admin, JsonNode ask) throws Exception {
    ConfigEntry entry = new ConfigEntry(ask.get("name").asText(), ask.get("value").asText());
    AlterConfigOp set = new AlterConfigOp(entry, AlterConfigOp.OpType.SET);
    admin.incrementalAlterConfigs(Map.of(resource(ask), List.of(set))).all().get();
    return Map.of();
  }

  private static Map<String, Object> groups(Admin admin) throws Exception {
    List<String> names = new ArrayList<>();
    for (ConsumerGroupListing one : admin.listConsumerGroups().all().get()) {
      names.add(one.groupId());
    }
    return Map.of("groups", names);
  }

  private static Map<String, Object> group(Admin admin, String name) throws Exception {
    ConsumerGroupDescription found =
        admin.describeConsumerGroups(List.of(name)).all().get().get(name);
    List<Integer> counts = new ArrayList<>();
    for (MemberDescription member : found.members()) {
      counts.add(member.assignment().topicPartitions().size());
    }
    return Map.of(
        "state", found.state().toString(), "members", counts, "assignor", found.partitionAssignor());
  }

  private static Map<String, Object> committed(Admin admin, JsonNode ask) throws Exception {
    OffsetAndMetadata found =
        admin
            .listConsumerGroupOffsets(ask.get("group").asText())
            .partitionsToOffsetAndMetadata()
            .get()
            .get(partition(ask));
    Map<String, Object> told = new HashMap<>();
    told.put("offset", found == null ? null : found.offset());
    return told;
  }
}
