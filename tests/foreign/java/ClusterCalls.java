import com.fasterxml.jackson.databind.JsonNode;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.LogDirDescription;
import org.apache.kafka.common.ElectionType;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.TopicPartition;

/** The brokers, who leads, and how large partitions are. */
final class ClusterCalls implements Calls {
  @Override
  public Map<String, Object> serve(Admin admin, JsonNode ask) throws Exception {
    switch (ask.get("do").asText()) {
      case "nodes":
        return Map.of("count", admin.describeCluster().nodes().get().size());
      case "elect":
        return elect(admin, Calls.partition(ask));
      case "reassignments":
        return Map.of("count", admin.listPartitionReassignments().reassignments().get().size());
      case "log_dirs":
        return logDirs(admin, ask.get("topic").asText());
      default:
        return null;
    }
  }

  private static Map<String, Object> elect(Admin admin, TopicPartition one) throws Exception {
    Map<String, Object> told = new HashMap<>();
    for (ElectionType type : ElectionType.values()) {
      Optional<Throwable> error = admin.electLeaders(type, Set.of(one)).partitions().get().get(one);
      told.put(type.name(), error.map(raised -> raised.getClass().getSimpleName()).orElse(null));
    }
    return told;
  }

  private static Map<String, Object> logDirs(Admin admin, String topic) throws Exception {
    Map<String, Object> sizes = new TreeMap<>();
    for (Node broker : admin.describeCluster().nodes().get()) {
      for (LogDirDescription dir :
          admin.describeLogDirs(Set.of(broker.id())).allDescriptions().get().get(broker.id()).values()) {
        dir.replicaInfos()
            .forEach(
                (partition, replica) -> {
                  if (partition.topic().equals(topic)) {
                    sizes.put(String.valueOf(partition.partition()), replica.size());
                  }
                });
      }
    }
    return Map.of("sizes", sizes);
  }
}
