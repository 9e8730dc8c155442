import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ListConsumerGroupOffsetsSpec;
import org.apache.kafka.clients.admin.ListOffsetsResult.ListOffsetsResultInfo;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.ProducerState;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;

/** What Kafka's Admin does since 3.3: in part since 3.0. */
final class CallsSince33 implements Calls {
  @Override
  public Map<String, Object> serve(Admin admin, JsonNode ask) throws Exception {
    switch (ask.get("do").asText()) {
      case "offset_of":
        return offset(admin, Calls.partition(ask), spec(ask));
      case "producers":
        return producers(admin, Calls.partition(ask));
      case "committed_by":
        return committed(admin, ask);
      default:
        return null;
    }
  }

  private static OffsetSpec spec(JsonNode ask) {
    switch (ask.get("spec").asText()) {
      case "earliest":
        return OffsetSpec.earliest();
      case "latest":
        return OffsetSpec.latest();
      case "max_timestamp":
        return OffsetSpec.maxTimestamp();
      default:
        return OffsetSpec.forTimestamp(ask.get("time").asLong());
    }
  }

  private static Map<String, Object> offset(Admin admin, TopicPartition one, OffsetSpec spec)
      throws Exception {
    ListOffsetsResultInfo found = admin.listOffsets(Map.of(one, spec)).partitionResult(one).get();
    return Map.of("offset", found.offset(), "timestamp", found.timestamp());
  }

  private static Map<String, Object> producers(Admin admin, TopicPartition one) throws Exception {
    List<Object> rows = new ArrayList<>();
    for (ProducerState found :
        admin.describeProducers(List.of(one)).partitionResult(one).get().activeProducers()) {
      rows.add(List.of(found.producerId(), found.producerEpoch(), found.lastSequence()));
    }
    return Map.of("producers", rows);
  }

  private static Map<String, Object> committed(Admin admin, JsonNode ask) throws Exception {
    TopicPartition one = Calls.partition(ask);
    Map<String, ListConsumerGroupOffsetsSpec> asked = new HashMap<>();
    for (String group : Calls.words(ask.get("groups"))) {
      asked.put(group, new ListConsumerGroupOffsetsSpec().topicPartitions(List.of(one)));
    }
    Map<String, Object> offsets = new TreeMap<>();
    admin
        .listConsumerGroupOffsets(asked)
        .all()
        .get()
        .forEach(
            (group, found) -> {
              OffsetAndMetadata offset = found.get(one);
              offsets.put(group, offset == null ? null : offset.offset());
            });
    return Map.of("offsets", offsets);
  }
}
