import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;

/** Writes numbers one after the other, with idempotence, until it is told to stop. */
final class Writer extends Thread {
  private final KafkaProducer<String, String> producer;
  private final String topic;
  private final int partitions;
  private final List<Object> acked = new ArrayList<>();
  private final List<Object> refused = new ArrayList<>();
  private volatile boolean stopping;

  Writer(JsonNode ask, Properties settings) {
    settings.put("acks", "all");
    settings.put("enable.idempotence", "true");
    settings.put("delivery.timeout.ms", "180000");
    settings.put("max.block.ms", "180000");
    settings.put("linger.ms", "5");
    producer = new KafkaProducer<>(settings);
    topic = ask.get("topic").asText();
    partitions = ask.get("partitions").asInt();
    setDaemon(true);
  }

  @Override
  public void run() {
    for (int number = 0; !stopping; number++) {
      int own = number;
      String value = String.valueOf(number);
      producer.send(
          new ProducerRecord<>(topic, number % partitions, null, value),
          (row, error) -> {
            synchronized (this) {
              if (error == null) {
                acked.add(List.of(own, row.partition(), row.offset()));
              } else {
                refused.add(List.of(own, error.toString()));
              }
            }
          });
      try {
        Thread.sleep(4);
      } catch (InterruptedException end) {
        return;
      }
    }
  }

  synchronized Map<String, Object> progress() {
    return Map.of("acked", acked.size(), "refused", new ArrayList<>(refused));
  }

  Map<String, Object> finish() throws InterruptedException {
    stopping = true;
    join();
    producer.close();
    return Map.of("acked", acked, "refused", refused);
  }
}
