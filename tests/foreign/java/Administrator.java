import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.admin.Admin;

/** Lets Kafka's Admin do what a line says. */
final class Administrator {
  /** Old clients lack the classes that come last: see tests/foreign/builds.py. */
  private static final List<String> CALLS =
      List.of("TopicCalls", "ClusterCalls", "GroupCalls", "CallsSince33", "CallsSince40");

  private final Properties settings;
  private final List<Calls> calls = new ArrayList<>();

  Administrator(Properties settings) throws ReflectiveOperationException {
    this.settings = settings;
    for (String name : CALLS) {
      try {
        calls.add((Calls) Class.forName(name).getDeclaredConstructor().newInstance());
      } catch (ClassNotFoundException older) {
        break;
      }
    }
  }

  Map<String, Object> serve(JsonNode ask) throws Exception {
    try (Admin admin = Admin.create(settings)) {
      for (Calls some : calls) {
        Map<String, Object> told = some.serve(admin, ask);
        if (told != null) {
          return told;
        }
      }
    }
    throw new IllegalArgumentException(ask.toString());
  }
}
