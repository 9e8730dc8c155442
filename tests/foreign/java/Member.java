import com.fasterxml.jackson.databind.JsonNode;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.regex.Pattern;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;

/** A member of a group: it polls in a thread of its own, and commits what it has read. */
final class Member extends Thread implements ConsumerRebalanceListener {
  private static final String PACKAGE = "org.apache.kafka.clients.consumer.";
  private static final Map<String, String> ASSIGNORS =
      Map.of(
          "range", PACKAGE + "RangeAssignor",
          "roundrobin", PACKAGE + "RoundRobinAssignor",
          "sticky", PACKAGE + "StickyAssignor",
          "cooperative-sticky", PACKAGE + "CooperativeStickyAssignor");
  private final KafkaConsumer<String, String> consumer;
  private final List<Object> records = new ArrayList<>();
  private final List<Object> events = new ArrayList<>();
  private final boolean waits;
  private List<Object> assigned = List.of();
  private int commits;
  private String failed;
  private volatile boolean closing;

  Member(JsonNode ask, Properties settings) {
    settings.put("group.id", ask.get("group").asText());
    settings.put("enable.auto.commit", "false");
    settings.put("auto.offset.reset", "earliest");
    settings.put("client.id", ask.get("member").asText());
    String assignor = ask.get("assignor").asText();
    if (assignor.equals("consumer")) {
      settings.put("group.protocol", "consumer");
    } else {
      settings.put("partition.assignment.strategy", ASSIGNORS.get(assignor));
      settings.put("session.timeout.ms", ask.path("session_ms").asText("10000"));
      settings.put("heartbeat.interval.ms", "200");
    }
    waits = !ask.path("commit").asText().equals("async");
    if (ask.has("instance")) {
      settings.put("group.instance.id", ask.get("instance").asText());
    }
    consumer = new KafkaConsumer<>(settings);
    if (ask.has("pattern")) {
      consumer.subscribe(Pattern.compile(ask.get("pattern").asText()), this);
    } else {
      consumer.subscribe(List.of(ask.get("topic").asText()), this);
    }
    setDaemon(true);
  }

  @Override
  public void run() {
    try {
      while (!closing) {
        ConsumerRecords<String, String> polled = consumer.poll(Duration.ofMillis(100));
        synchronized (this) {
          for (ConsumerRecord<String, String> record : polled) {
            records.add(Client.row(record));
          }
          assigned = rows(consumer.assignment());
        }
        if (!polled.isEmpty() && waits) {
          commit();
        } else if (!polled.isEmpty()) {
          commitWithoutWaiting(polled);
        }
      }
      consumer.close();
    } catch (Exception error) {
      synchronized (this) {
        failed = error.toString();
      }
    }
  }

  private void commit() {
    try {
      consumer.commitSync();
    } catch (org.apache.kafka.clients.consumer.CommitFailedException
        | org.apache.kafka.common.errors.RebalanceInProgressException moved) {
      // The partitions are on their way to another member, which reads these records again.
    }
  }

  /** As benchmarks do: after each poll, with the offsets of what it brought. */
  private void commitWithoutWaiting(ConsumerRecords<String, String> polled) {
    Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
    for (ConsumerRecord<String, String> record : polled) {
      TopicPartition partition = new TopicPartition(record.topic(), record.partition());
      offsets.put(partition, new OffsetAndMetadata(record.offset() + 1));
    }
    consumer.commitAsync(offsets, this::committed);
  }

  private synchronized void committed(
      Map<TopicPartition, OffsetAndMetadata> offsets, Exception error) {
    if (error == null) {
      commits++;
    } else {
      // The consumer of KIP-848 does not say of which offsets.
      Collection<TopicPartition> which = offsets == null ? List.of() : offsets.keySet();
      events.add(List.of(error.getClass().getSimpleName(), rows(which)));
    }
  }

  synchronized Map<String, Object> seen() {
    Map<String, Object> told = new HashMap<>();
    told.put("assigned", assigned);
    told.put("records", new ArrayList<>(records));
    told.put("events", new ArrayList<>(events));
    told.put("commits", commits);
    told.put("failed", failed);
    return told;
  }

  void close() throws InterruptedException {
    closing = true;
    join(30_000);
  }

  @Override
  public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
    note("assigned", partitions);
  }

  @Override
  public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
    note("revoked", partitions);
  }

  @Override
  public void onPartitionsLost(Collection<TopicPartition> partitions) {
    note("lost", partitions);
  }

  private synchronized void note(String what, Collection<TopicPartition> partitions) {
    events.add(List.of(what, rows(partitions)));
  }

  private static List<Object> rows(Collection<TopicPartition> partitions) {
    List<Object> rows = new ArrayList<>();
    for (TopicPartition one : partitions) {
      rows.add(List.of(one.topic(), one.partition()));
    }
    return rows;
  }
}
