import com.fasterxml.jackson.databind.JsonNode;
import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import org.apache.kafka.common.utils.Exit;

/** Runs Kafka's command line tools one after the other, since starting Java takes most of the time. */
public final class Tools {
  private static final ByteArrayOutputStream PRINTED = new ByteArrayOutputStream();
  private static final ByteArrayOutputStream COMPLAINED = new ByteArrayOutputStream();
  private static Map<String, Object> told;

  public static void main(String[] words) throws Exception {
    PrintStream answers = System.out;
    Exit.setExitProcedure((status, message) -> end(status));
    BufferedReader lines =
        new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      answers.println(Client.JSON.writeValueAsString(run(Client.JSON.readTree(line))));
      answers.flush();
    }
    Runtime.getRuntime().halt(0);
  }

  private static Map<String, Object> run(JsonNode ask) throws ReflectiveOperationException {
    PrintStream out = System.out;
    PrintStream err = System.err;
    PRINTED.reset();
    COMPLAINED.reset();
    told = null;
    System.setOut(new PrintStream(PRINTED, true, StandardCharsets.UTF_8));
    System.setErr(new PrintStream(COMPLAINED, true, StandardCharsets.UTF_8));
    try {
      Object words = Calls.words(ask.get("words")).toArray(String[]::new);
      Class.forName(ask.get("tool").asText()).getMethod("main", String[].class).invoke(null, words);
      return told != null ? told : told(0);
    } catch (InvocationTargetException error) {
      if (told == null) {
        error.getCause().printStackTrace();
        told = told(1);
      }
      return told;
    } finally {
      System.setOut(out);
      System.setErr(err);
    }
  }

  /** Where a tool would end the process. What it still does then, some do, does not count. */
  private static void end(int status) {
    if (told == null) {
      told = told(status);
    }
    throw new Error("ended with " + status);
  }

  private static Map<String, Object> told(int status) {
    return Map.of(
        "out", PRINTED.toString(StandardCharsets.UTF_8),
        "err", COMPLAINED.toString(StandardCharsets.UTF_8),
        "status", status);
  }
}
