import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.time.Duration;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StoreQueryParameters;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.KGroupedStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.processor.StateRestoreListener;
import org.apache.kafka.streams.state.QueryableStoreTypes;

/**
 * A Kafka Streams application with state: it adds up numbers by word, and counts words by minute.
 *
 * <p>Records are "word number", keyed by something else, so they are written once more by word.
 * Arguments: bootstrap servers, application id, topic to read, topic that the sums go to, a folder,
 * further settings as NAME=VALUE. It prints each state that it comes into. To each line of its
 * input it answers with one of JSON: "totals", "minutes", or how many records were "restored".
 */
public final class Tables {
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final Map<String, Long> RESTORED = new ConcurrentHashMap<>();

  public static void main(String[] words) throws Exception {
    KafkaStreams streams = new KafkaStreams(topology(words), settings(words));
    streams.setGlobalStateRestoreListener(new Restored());
    streams.setStateListener((now, before) -> say(now.toString()));
    streams.start();
    BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      say(JSON.writeValueAsString(answer(streams, line)));
    }
    streams.close();
  }

  private static org.apache.kafka.streams.Topology topology(String[] words) {
    StreamsBuilder builder = new StreamsBuilder();
    KGroupedStream<String, String> grouped =
        builder
            .<String, String>stream(words[2])
            .map((key, value) -> KeyValue.pair(value.split(" ")[0], value.split(" ")[1]))
            .groupByKey(Grouped.as("by-word"));
    grouped
        .aggregate(
            () -> "0",
            (word, number, sum) -> String.valueOf(Long.parseLong(sum) + Long.parseLong(number)),
            Materialized.as("totals"))
        .toStream()
        .to(words[3]);
    grouped
        .windowedBy(TimeWindows.ofSizeAndGrace(Duration.ofMinutes(1), Duration.ofDays(1)))
        .count(Materialized.as("minutes"));
    return builder.build();
  }

  private static Properties settings(String[] words) {
    Properties settings = new Properties();
    settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, words[0]);
    settings.put(StreamsConfig.APPLICATION_ID_CONFIG, words[1]);
    settings.put(StreamsConfig.STATE_DIR_CONFIG, words[4]);
    settings.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
    settings.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
    settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 100);
    settings.put("auto.offset.reset", "earliest");
    settings.put("heartbeat.interval.ms", 200);
    settings.put("session.timeout.ms", 6_000);
    for (int at = 5; at < words.length; at++) {
      String[] pair = words[at].split("=", 2);
      settings.put(pair[0], pair[1]);
    }
    return settings;
  }

  private static Map<String, ?> answer(KafkaStreams streams, String asked) {
    Map<String, Object> found = new TreeMap<>();
    switch (asked) {
      case "totals" -> {
        var store =
            streams.store(
                StoreQueryParameters.fromNameAndType(
                    asked, QueryableStoreTypes.<String, String>keyValueStore()));
        try (var rows = store.all()) {
          rows.forEachRemaining(row -> found.put(row.key, Long.parseLong(row.value)));
        }
      }
      case "minutes" -> {
        var store =
            streams.store(
                StoreQueryParameters.fromNameAndType(
                    asked, QueryableStoreTypes.<String, Long>windowStore()));
        try (var rows = store.all()) {
          rows.forEachRemaining(
              row -> found.put(row.key.key() + "@" + row.key.window().start(), row.value));
        }
      }
      default -> found.putAll(RESTORED);
    }
    return found;
  }

  private static synchronized void say(String line) {
    System.out.println(line);
    System.out.flush();
  }

  /** Counts what comes back from the changelogs. */
  private static final class Restored implements StateRestoreListener {
    @Override
    public void onRestoreStart(TopicPartition from, String store, long first, long last) {
      RESTORED.merge(store, 0L, Long::sum);
    }

    @Override
    public void onBatchRestored(TopicPartition from, String store, long last, long count) {}

    @Override
    public void onRestoreEnd(TopicPartition from, String store, long count) {
      RESTORED.merge(store, count, Long::sum);
    }
  }
}
