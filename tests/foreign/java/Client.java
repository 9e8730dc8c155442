import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** Does what each line of its input says, and answers with a line of JSON: see tests/foreign. */
public final class Client {
  static final ObjectMapper JSON = new ObjectMapper();
  private static final Duration DEADLINE = Duration.ofSeconds(60);
  private final Map<String, Member> members = new HashMap<>();
  private final Map<String, Writer> writers = new HashMap<>();

  public static void main(String[] words) throws Exception {
    PrintStream out = System.out;
    System.setOut(System.err);
    Client client = new Client();
    BufferedReader lines =
        new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      Map<String, Object> answer;
      try {
        answer = client.serve(JSON.readTree(line));
      } catch (Exception error) {
        answer = failure(error);
      }
      out.println(JSON.writeValueAsString(answer));
      out.flush();
    }
    System.exit(0);
  }

  private Map<String, Object> serve(JsonNode ask) throws Exception {
    switch (ask.get("do").asText()) {
      case "produce":
        return produce(ask);
      case "consume":
        return consume(ask);
      case "offsets":
        return offsets(ask);
      case "join":
        Member member = new Member(ask, settings(ask));
        members.put(ask.get("member").asText(), member);
        member.start();
        return Map.of();
      case "member":
        return members.get(ask.get("member").asText()).seen();
      case "leave":
        Member leaver = members.remove(ask.get("member").asText());
        leaver.close();
        return leaver.seen();
      case "write":
        Writer writer = new Writer(ask, settings(ask));
        writers.put(ask.get("member").asText(), writer);
        writer.start();
        return Map.of();
      case "writer":
        return writers.get(ask.get("member").asText()).progress();
      case "written":
        return writers.remove(ask.get("member").asText()).finish();
      default:
        return new Administrator(settings(ask)).serve(ask);
    }
  }

  static Map<String, Object> failure(Throwable error) {
    Throwable cause = error instanceof ExecutionException ? error.getCause() : error;
    return Map.of(
        "error", cause.getClass().getSimpleName(), "message", String.valueOf(cause.getMessage()));
  }

  static Properties settings(JsonNode ask) {
    Properties settings = new Properties();
    settings.put("bootstrap.servers", ask.get("bootstrap").asText());
    settings.put("key.serializer", StringSerializer.class.getName());
    settings.put("value.serializer", StringSerializer.class.getName());
    settings.put("key.deserializer", StringDeserializer.class.getName());
    settings.put("value.deserializer", StringDeserializer.class.getName());
    return settings;
  }

  private static String text(JsonNode node) {
    return node == null || node.isNull() ? null : node.asText();
  }

  private Map<String, Object> produce(JsonNode ask) {
    String topic = ask.get("topic").asText();
    List<Future<RecordMetadata>> sent = new ArrayList<>();
    List<Object> rows = new ArrayList<>();
    Properties settings = settings(ask);
    settings.put("compression.type", ask.path("codec").asText("none"));
    settings.put("enable.idempotence", ask.path("idempotent").asText("false"));
    settings.put("acks", ask.path("acks").asText("all"));
    try (KafkaProducer<String, String> producer = new KafkaProducer<>(settings)) {
      for (JsonNode record : ask.get("records")) {
        List<Header> headers = new ArrayList<>();
        for (JsonNode header : record.path("headers")) {
          String value = text(header.get(1));
          byte[] bytes = value == null ? null : value.getBytes(StandardCharsets.UTF_8);
          headers.add(new RecordHeader(header.get(0).asText(), bytes));
        }
        JsonNode partition = record.get("partition");
        JsonNode time = record.get("timestamp");
        sent.add(
            producer.send(
                new ProducerRecord<>(
                    topic,
                    partition == null ? null : Integer.valueOf(partition.asInt()),
                    time == null ? null : Long.valueOf(time.asLong()),
                    text(record.get("key")),
                    text(record.get("value")),
                    headers)));
      }
      producer.flush();
      for (Future<RecordMetadata> one : sent) {
        try {
          RecordMetadata row = one.get();
          rows.add(Map.of("partition", row.partition(), "offset", row.offset()));
        } catch (Exception error) {
          rows.add(failure(error));
        }
      }
    }
    return Map.of("sent", rows);
  }

  static Map<String, Object> row(ConsumerRecord<String, String> record) {
    List<List<String>> headers = new ArrayList<>();
    for (Header header : record.headers()) {
      byte[] value = header.value();
      String told = value == null ? null : new String(value, StandardCharsets.UTF_8);
      headers.add(Arrays.asList(header.key(), told));
    }
    Map<String, Object> row = new HashMap<>();
    row.put("partition", record.partition());
    row.put("offset", record.offset());
    row.put("timestamp", record.timestamp());
    row.put("key", record.key());
    row.put("value", record.value());
    row.put("headers", headers);
    return row;
  }

  private Map<String, Object> consume(JsonNode ask) {
    TopicPartition partition =
        new TopicPartition(ask.get("topic").asText(), ask.get("partition").asInt());
    int count = ask.get("count").asInt();
    List<Object> rows = new ArrayList<>();
    try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(settings(ask))) {
      consumer.assign(List.of(partition));
      if (ask.get("offset").asText().equals("earliest")) {
        consumer.seekToBeginning(List.of(partition));
      } else {
        consumer.seek(partition, ask.get("offset").asLong());
      }
      long end = System.nanoTime() + DEADLINE.toNanos();
      while (rows.size() < count && System.nanoTime() < end) {
        consumer.poll(Duration.ofMillis(200)).forEach(record -> rows.add(row(record)));
      }
    }
    return Map.of("records", rows);
  }

  private Map<String, Object> offsets(JsonNode ask) {
    TopicPartition partition =
        new TopicPartition(ask.get("topic").asText(), ask.get("partition").asInt());
    try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(settings(ask))) {
      Map<String, Object> told = new HashMap<>();
      told.put("earliest", consumer.beginningOffsets(List.of(partition)).get(partition));
      told.put("latest", consumer.endOffsets(List.of(partition)).get(partition));
      if (ask.has("time")) {
        OffsetAndTimestamp found =
            consumer.offsetsForTimes(Map.of(partition, ask.get("time").asLong())).get(partition);
        told.put("at", found == null ? null : found.offset());
      }
      return told;
    }
  }
}
