import java.util.Properties;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;

/**
 * A Kafka Streams application without state: the even numbers of one topic, doubled, into another.
 *
 * <p>Arguments: bootstrap servers, application id, topic to read, topic to write, a folder. It
 * prints each state that it comes into, and ends when its input does.
 */
public final class Streams {
  public static void main(String[] words) throws Exception {
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
    StreamsBuilder builder = new StreamsBuilder();
    builder
        .<String, String>stream(words[2])
        .filter((key, value) -> Long.parseLong(value) % 2 == 0)
        .mapValues(value -> String.valueOf(2 * Long.parseLong(value)))
        .to(words[3]);
    KafkaStreams streams = new KafkaStreams(builder.build(), settings);
    streams.setStateListener(
        (now, before) -> {
          System.out.println(now);
          System.out.flush();
        });
    streams.start();
    while (System.in.read() >= 0) {
      // Until it is closed.
    }
    streams.close();
  }
}
