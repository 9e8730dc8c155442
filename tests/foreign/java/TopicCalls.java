import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ListTopicsOptions;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.admin.TopicListing;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.config.ConfigResource;

/** Topics, their configs and their records. */
final class TopicCalls implements Calls {
  @Override
  public Map<String, Object> serve(Admin admin, JsonNode ask) throws Exception {
    switch (ask.get("do").asText()) {
      case "create_topic":
        return create(admin, ask);
      case "topic":
        return describe(admin, ask.get("topic").asText());
      case "topics":
        return list(admin, ask.get("internal").asBoolean());
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
        return alter(admin, ask, ask.get("value").asText(), AlterConfigOp.OpType.SET);
      case "unset_config":
        return alter(admin, ask, "", AlterConfigOp.OpType.DELETE);
      case "delete_records":
        RecordsToDelete before = RecordsToDelete.beforeOffset(ask.get("before").asLong());
        admin.deleteRecords(Map.of(Calls.partition(ask), before)).all().get();
        return Map.of();
      default:
        return null;
    }
  }

  private static ConfigResource resource(JsonNode ask) {
    return new ConfigResource(ConfigResource.Type.TOPIC, ask.get("topic").asText());
  }

  private static Map<String, Object> create(Admin admin, JsonNode ask) throws Exception {
    Map<String, String> configs = new HashMap<>();
    ask.path("configs")
        .fields()
        .forEachRemaining(row -> configs.put(row.getKey(), row.getValue().asText()));
    String name = ask.get("topic").asText();
    NewTopic topic = new NewTopic(name, ask.get("partitions").asInt(), (short) 1).configs(configs);
    admin.createTopics(List.of(topic)).all().get();
    return Map.of();
  }

  private static Map<String, Object> describe(Admin admin, String name) throws Exception {
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

  private static Map<String, Object> list(Admin admin, boolean internal) throws Exception {
    Map<String, Object> topics = new TreeMap<>();
    ListTopicsOptions options = new ListTopicsOptions().listInternal(internal);
    for (TopicListing one : admin.listTopics(options).listings().get()) {
      topics.put(one.name(), one.isInternal());
    }
    return Map.of("topics", topics);
  }

  private static Map<String, Object> configs(Admin admin, ConfigResource topic) throws Exception {
    Map<String, Object> values = new TreeMap<>();
    for (ConfigEntry entry : admin.describeConfigs(List.of(topic)).all().get().get(topic).entries()) {
      values.put(entry.name(), entry.value());
    }
    return Map.of("configs", values);
  }

  private static Map<String, Object> alter(
      Admin admin, JsonNode ask, String value, AlterConfigOp.OpType how) throws Exception {
    AlterConfigOp change = new AlterConfigOp(new ConfigEntry(ask.get("name").asText(), value), how);
    admin.incrementalAlterConfigs(Map.of(resource(ask), List.of(change))).all().get();
    return Map.of();
  }
}
