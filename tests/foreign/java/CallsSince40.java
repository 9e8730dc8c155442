import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.GroupListing;
import org.apache.kafka.clients.admin.ListGroupsOptions;
import org.apache.kafka.common.GroupState;
import org.apache.kafka.common.GroupType;

/** What Kafka's Admin does since 4.0: groups of every type. */
final class CallsSince40 implements Calls {
  @Override
  public Map<String, Object> serve(Admin admin, JsonNode ask) throws Exception {
    return ask.get("do").asText().equals("groups") ? groups(admin, ask) : null;
  }

  private static Map<String, Object> groups(Admin admin, JsonNode ask) throws Exception {
    Set<GroupType> types = new HashSet<>();
    ask.path("types").forEach(one -> types.add(GroupType.parse(one.asText())));
    Set<GroupState> states = new HashSet<>();
    ask.path("states").forEach(one -> states.add(GroupState.parse(one.asText())));
    ListGroupsOptions options = new ListGroupsOptions().withTypes(types).inGroupStates(states);
    List<String> names = new ArrayList<>();
    for (GroupListing one : admin.listGroups(options).all().get()) {
      names.add(one.groupId());
    }
    return Map.of("groups", names);
  }
}
