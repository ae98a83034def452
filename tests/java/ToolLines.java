import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.io.PrintStream;
import java.lang.reflect.Field;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;

import org.apache.kafka.common.utils.Exit;

/**
 * Runs command lines of Kafka's tools, one after the other in one JVM, since most of what a tool costs is its start.
 *
 * Reads a line for each: its standard input in base64, the class and its arguments, with tabs between them. Writes a
 * line for each: the exit code, and standard output and standard error in base64, with blanks between them. A tool that
 * ends the JVM has `?` for its code, which then is that of this process.
 */
public class ToolLines {
    /** Ends a tool in place of the process. */
    private static final class Ended extends RuntimeException {
        Ended() {
            super(null, null, false, false);
        }
    }

    /** Some libraries keep the stream that they first see, so there is one for all tools. */
    private static final class Switched extends OutputStream {
        private ByteArrayOutputStream current = new ByteArrayOutputStream();

        @Override
        public synchronized void write(int b) {
            current.write(b);
        }

        @Override
        public synchronized void write(byte[] bytes, int from, int count) {
            current.write(bytes, from, count);
        }

        synchronized String take() {
            String taken = Base64.getEncoder().encodeToString(current.toByteArray());
            current = new ByteArrayOutputStream();
            return taken;
        }
    }

    private static Integer code;
    private static boolean isRunning;
    private static final List<Runnable> hooks = new ArrayList<>();

    private static void end(int with) {
        if (code == null)
            code = with;
        throw new Ended();
    }

    /** What a tool leaves in its class for the next run in the same JVM. */
    private static void forget(String name) throws Exception {
        if (!name.endsWith(".ConsoleConsumer"))
            return;
        Field count = Class.forName(name).getDeclaredField("messageCount");
        count.setAccessible(true);
        count.setInt(null, 0);
    }

    public static void main(String[] arguments) throws Exception {
        PrintStream answers = System.out;
        Switched out = new Switched();
        Switched err = new Switched();
        System.setOut(new PrintStream(out, true, StandardCharsets.UTF_8));
        System.setErr(new PrintStream(err, true, StandardCharsets.UTF_8));
        Exit.setExitProcedure((with, message) -> end(with));
        Exit.setHaltProcedure((with, message) -> end(with));
        Exit.setShutdownHookAdder((name, hook) -> hooks.add(hook));
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            if (isRunning) {
                answers.println("? " + out.take() + " " + err.take());
                answers.flush();
            }
        }));
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            String[] words = line.split("\t", -1);
            code = null;
            isRunning = true;
            try {
                System.setIn(new ByteArrayInputStream(Base64.getDecoder().decode(words[0])));
                forget(words[1]);
                Object rest = Arrays.copyOfRange(words, 2, words.length);
                Class.forName(words[1]).getMethod("main", String[].class).invoke(null, rest);
            } catch (InvocationTargetException e) {
                if (!(e.getCause() instanceof Ended)) {
                    e.getCause().printStackTrace();
                    code = 1;
                }
            }
            for (Runnable hook : hooks)
                hook.run();
            hooks.clear();
            System.out.flush();
            System.err.flush();
            isRunning = false;
            answers.println((code == null ? 0 : code) + " " + out.take() + " " + err.take());
            answers.flush();
        }
        Runtime.getRuntime().halt(0);
    }
}
