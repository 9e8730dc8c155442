import com.fasterxml.jackson.databind.JsonNode;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.common.TopicPartition;

/** Some of what Kafka's Admin does. */
interface Calls {
  /** The answer to a line; null if it asks for something else. */
  Map<String, Object> serve(Admin admin, JsonNode ask) throws Exception;

  static TopicPartition partition(JsonNode ask) {
    return new TopicPartition(ask.get("topic").asText(), ask.get("partition").asInt());
  }

  static List<String> words(JsonNode list) {
    return Client.JSON.convertValue(list, new com.fasterxml.jackson.core.type.TypeReference<>() {});
  }
}
