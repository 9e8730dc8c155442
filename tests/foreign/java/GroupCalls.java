import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.ConsumerGroupListing;
import org.apache.kafka.clients.admin.ListConsumerGroupsOptions;
import org.apache.kafka.clients.admin.MemberDescription;
import org.apache.kafka.clients.admin.MemberToRemove;
import org.apache.kafka.clients.admin.RemoveMembersFromConsumerGroupOptions;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.ConsumerGroupState;
import org.apache.kafka.common.TopicPartition;

/** Groups, and what they have committed. */
final class GroupCalls implements Calls {
  @Override
  public Map<String, Object> serve(Admin admin, JsonNode ask) throws Exception {
    String name = ask.path("group").asText();
    switch (ask.get("do").asText()) {
      case "groups":
        return ask.has("types") ? null : list(admin, ask.path("states"));
      case "group":
        return describe(admin, name);
      case "delete_group":
        admin.deleteConsumerGroups(List.of(name)).all().get();
        return Map.of();
      case "committed":
        return committed(admin, ask);
      case "set_committed":
        OffsetAndMetadata offset = new OffsetAndMetadata(ask.get("offset").asLong());
        Map<TopicPartition, OffsetAndMetadata> offsets = Map.of(Calls.partition(ask), offset);
        admin.alterConsumerGroupOffsets(name, offsets).all().get();
        return Map.of();
      case "delete_committed":
        admin.deleteConsumerGroupOffsets(name, Set.of(Calls.partition(ask))).all().get();
        return Map.of();
      case "remove_member":
        MemberToRemove member = new MemberToRemove(ask.get("instance").asText());
        var options = new RemoveMembersFromConsumerGroupOptions(Set.of(member));
        admin.removeMembersFromConsumerGroup(name, options).all().get();
        return Map.of();
      default:
        return null;
    }
  }

  private static Map<String, Object> list(Admin admin, JsonNode states) throws Exception {
    Set<ConsumerGroupState> wanted = new HashSet<>();
    states.forEach(one -> wanted.add(ConsumerGroupState.parse(one.asText())));
    ListConsumerGroupsOptions options = new ListConsumerGroupsOptions().inStates(wanted);
    List<String> names = new ArrayList<>();
    for (ConsumerGroupListing one : admin.listConsumerGroups(options).all().get()) {
      names.add(one.groupId());
    }
    return Map.of("groups", names);
  }

  private static Map<String, Object> describe(Admin admin, String name) throws Exception {
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
            .get(Calls.partition(ask));
    Map<String, Object> told = new HashMap<>();
    told.put("offset", found == null ? null : found.offset());
    return told;
  }
}
