// Takes messages through Apache Kafka's own generated classes.
//
//   Messages SEED COUNT IN OUT
//
// IN has one line a task, OUT what came of it:
//
//   class NAME                 "versions NAME LOW HIGH", then "default NAME STRUCT FIELD VALUE" for each field of each
//                              struct, then COUNT random messages of each version as "drawn NAME VERSION HEX";
//                              or "absent NAME" where these jars have no such class
//   recode NAME VERSION HEX    "recoded HEX": the message read and written again; or "refused WHY"
//   keys                       "key NUMBER NAME LOW HIGH STABLE_HIGH BROKER CONTROLLER CLUSTER_ACTION HEADERS" for each
//                              API key, HEADERS being REQUEST/RESPONSE header version of each version, comma-separated
//
// A random message is drawn by what Kafka's own schema objects say of its version, not by anything of ours.

import java.io.PrintWriter;
import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.lang.reflect.ParameterizedType;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HexFormat;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.message.ApiMessageType;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.ObjectSerializationCache;
import org.apache.kafka.common.protocol.types.BoundField;
import org.apache.kafka.common.protocol.types.Schema;
import org.apache.kafka.common.protocol.types.TaggedFields;
import org.apache.kafka.common.protocol.types.Type;
import org.apache.kafka.common.record.internal.MemoryRecords;

public class Messages {
    private static final String[] PACKAGES = {
        "org.apache.kafka.common.message.", "org.apache.kafka.common.metadata.",
        "org.apache.kafka.coordinator.group.generated.", "org.apache.kafka.coordinator.transaction.generated.",
        "org.apache.kafka.coordinator.share.generated.",
    };
    private static final Set<String> NULLABLE_RECORDS = Set.of(
        "org.apache.kafka.common.message.ProduceRequestData$PartitionProduceData",
        "org.apache.kafka.common.message.FetchResponseData$PartitionData");
    private static final String[] LETTERS = {"a", "q", "Z", "0", "-", "_", ".", "ñ", "→", "🜁"};

    private final Random random;
    private final int count;
    private final PrintWriter out;

    private Messages(long seed, int count, PrintWriter out) {
        random = new Random(seed);
        this.count = count;
        this.out = out;
    }

    public static void main(String[] arguments) throws Exception {
        try (PrintWriter out = new PrintWriter(Files.newBufferedWriter(Path.of(arguments[3])))) {
            Messages messages = new Messages(Long.parseLong(arguments[0]), Integer.parseInt(arguments[1]), out);
            try (var lines = Files.lines(Path.of(arguments[2]))) {
                for (String line : (Iterable<String>) lines::iterator) {
                    String[] words = line.split(" ", -1);
                    switch (words[0]) {
                        case "class" -> messages.describeAndDraw(words[1]);
                        case "recode" -> messages.recode(words[1], Short.parseShort(words[2]), words[3]);
                        case "keys" -> messages.keys();
                        default -> throw new IllegalArgumentException(line);
                    }
                }
            }
        }
    }

    private static Class<?> find(String name) {
        for (String prefix : PACKAGES) {
            for (String suffix : new String[] {"Data", ""}) {
                try {
                    Class<?> found = Class.forName(prefix + name + suffix);
                    if (Message.class.isAssignableFrom(found)) return found;
                } catch (ClassNotFoundException e) {
                    // The next one, then.
                }
            }
        }
        return null;
    }

    private static Message fresh(Class<?> type) throws ReflectiveOperationException {
        return (Message) type.getConstructor().newInstance();
    }

    private void describeAndDraw(String name) throws ReflectiveOperationException {
        Class<?> type = find(name);
        if (type == null) {
            out.println("absent " + name);
            return;
        }
        Message first = fresh(type);
        out.println("versions " + name + " " + first.lowestSupportedVersion() + " " + first.highestSupportedVersion());
        defaults(name, name, type);
        for (short version = first.lowestSupportedVersion(); version <= first.highestSupportedVersion(); version++) {
            for (int i = 0; i < count; i++) {
                Message message = fresh(type);
                fill(message, version, 0);
                out.println("drawn " + name + " " + version + " " + HexFormat.of().formatHex(write(message, version)));
            }
        }
    }

    private void defaults(String message, String struct, Class<?> type) throws ReflectiveOperationException {
        Message fresh = fresh(type);
        for (Field field : dataFields(type)) {
            field.setAccessible(true);
            out.println("default " + message + " " + struct + " " + field.getName() + " " + print(field.get(fresh)));
        }
        for (Class<?> inner : type.getDeclaredClasses()) {
            // A collection class is no message; its elements are.
            if (Message.class.isAssignableFrom(inner)) defaults(message, inner.getSimpleName(), inner);
        }
    }

    private static String print(Object value) {
        if (value instanceof String) return "\"" + value + "\"";
        if (value instanceof Collection<?> all) return "[" + all.size() + "]";
        if (value instanceof byte[] bytes) return "[" + bytes.length + "]";
        if (value instanceof ByteBuffer bytes) return "[" + bytes.remaining() + "]";
        if (value instanceof Message) return "{}";
        return String.valueOf(value);
    }

    private void recode(String name, short version, String hex) throws ReflectiveOperationException {
        Message message = fresh(find(name));
        try {
            ByteBuffer bytes = ByteBuffer.wrap(HexFormat.of().parseHex(hex));
            message.read(new ByteBufferAccessor(bytes), version);
            if (bytes.hasRemaining()) throw new RuntimeException(bytes.remaining() + " bytes left");
            out.println("recoded " + HexFormat.of().formatHex(write(message, version)));
        } catch (RuntimeException e) {
            out.println("refused " + e);
        }
    }

    private void keys() {
        for (ApiKeys key : ApiKeys.values()) {
            if (!key.hasValidVersion()) continue;
            String headers = IntStream.rangeClosed(key.oldestVersion(), key.latestVersion(true))
                .mapToObj(v -> key.requestHeaderVersion((short) v) + "/" + key.responseHeaderVersion((short) v))
                .collect(Collectors.joining(","));
            var listeners = key.messageType.listeners();
            out.println(String.join(" ", "key", "" + key.id, key.name, "" + key.oldestVersion(), "" + key.latestVersion(true),
                "" + key.latestVersion(false), "" + listeners.contains(ApiMessageType.ListenerType.BROKER),
                "" + listeners.contains(ApiMessageType.ListenerType.CONTROLLER), "" + key.clusterAction, headers));
        }
    }

    private static byte[] write(Message message, short version) {
        ObjectSerializationCache cache = new ObjectSerializationCache();
        ByteBuffer buffer = ByteBuffer.allocate(message.size(cache, version));
        message.write(new ByteBufferAccessor(buffer), cache, version);
        if (buffer.hasRemaining()) throw new IllegalStateException("size() and write() differ");
        return buffer.array();
    }

    /** The fields that hold what the message says. */
    private static List<Field> dataFields(Class<?> type) {
        List<Field> fields = new ArrayList<>();
        for (Field field : type.getDeclaredFields()) {
            boolean inner = field.getName().equals("_unknownTaggedFields")
                || field.getName().equals("next") && field.getType() == int.class
                || field.getName().equals("prev") && field.getType() == int.class;
            if (!inner && !Modifier.isStatic(field.getModifiers())) fields.add(field);
        }
        return fields;
    }

    private void fill(Message message, short version, int depth) throws ReflectiveOperationException {
        Schema[] schemas = (Schema[]) message.getClass().getField("SCHEMAS").get(null);
        for (BoundField bound : schemas[version].fields()) {
            if (bound.def.type instanceof TaggedFields tagged) {
                for (var field : tagged.fields().values()) {
                    if (random.nextBoolean()) set(message, field.name, field.type, version, depth);
                }
            } else {
                set(message, bound.def.name, bound.def.type, version, depth);
            }
        }
    }

    private void set(Message message, String snakeName, Type wire, short version, int depth)
            throws ReflectiveOperationException {
        String name = snakeName.replace("_", "");
        Field field = dataFields(message.getClass()).stream()
            .filter(f -> f.getName().equalsIgnoreCase(name)).findFirst()
            .orElseThrow(() -> new NoSuchFieldException(message.getClass() + " " + snakeName));
        // Kafka's schema objects call every records field nullable; only these are.
        boolean isRecords = wire == Type.RECORDS || wire == Type.COMPACT_RECORDS;
        boolean nullable = wire.isNullable() && (!isRecords || NULLABLE_RECORDS.contains(message.getClass().getName()));
        Object value = nullable && random.nextInt(4) == 0 ? null : value(field, wire, version, depth);
        field.setAccessible(true);
        field.set(message, value);
    }

    private Object value(Field field, Type wire, short version, int depth) throws ReflectiveOperationException {
        Class<?> type = field.getType();
        if (Collection.class.isAssignableFrom(type)) {
            Class<?> element = type == List.class
                ? (Class<?>) ((ParameterizedType) field.getGenericType()).getActualTypeArguments()[0]
                : (Class<?>) ((ParameterizedType) type.getGenericSuperclass()).getActualTypeArguments()[0];
            Collection<Object> all = type == List.class ? new ArrayList<>() : newCollection(type);
            int size = random.nextInt(Math.max(2, 4 - depth));
            for (int i = 0; i < size; i++) all.add(scalar(element, version, depth + 1, false));
            return all;
        }
        return scalar(type, version, depth, wire == Type.UINT16);
    }

    @SuppressWarnings("unchecked")
    private static Collection<Object> newCollection(Class<?> type) throws ReflectiveOperationException {
        return (Collection<Object>) type.getConstructor().newInstance();
    }

    private Object scalar(Class<?> type, short version, int depth, boolean unsigned) throws ReflectiveOperationException {
        long number = random.nextLong() >> random.nextInt(64);
        if (type == boolean.class) return random.nextBoolean();
        if (type == byte.class || type == Byte.class) return (byte) number;
        if (type == short.class || type == Short.class) return (short) number;
        if (unsigned) return (int) number & 0xffff;
        if (type == int.class || type == Integer.class) return (int) number;
        if (type == long.class || type == Long.class) return number;
        if (type == double.class) return random.nextGaussian();
        if (type == Uuid.class) return new Uuid(random.nextLong(), random.nextLong());
        if (type == String.class) return text();
        if (type == byte[].class) return bytes();
        if (type == ByteBuffer.class) return ByteBuffer.wrap(bytes());
        if (type.getSimpleName().equals("BaseRecords")) return MemoryRecords.readableRecords(ByteBuffer.wrap(bytes()));
        Message inner = fresh(type);
        fill(inner, version, depth);
        return inner;
    }

    private String text() {
        return random.ints(random.nextInt(random.nextInt(50) == 0 ? 300 : 12), 0, LETTERS.length)
            .mapToObj(i -> LETTERS[i]).collect(Collectors.joining());
    }

    private byte[] bytes() {
        byte[] bytes = new byte[random.nextInt(random.nextInt(50) == 0 ? 300 : 12)];
        random.nextBytes(bytes);
        return bytes;
    }
}
