import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import java.util.TreeSet;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.TestInputTopic;
import org.apache.kafka.streams.TestOutputTopic;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.TopologyTestDriver;
import org.apache.kafka.streams.kstream.*;
import org.apache.kafka.streams.processor.StateStore;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.SessionStore;
import org.apache.kafka.streams.state.Stores;
import org.apache.kafka.streams.state.VersionedKeyValueStore;
import org.apache.kafka.streams.state.VersionedRecord;
import org.apache.kafka.streams.state.WindowStore;
import org.apache.kafka.streams.state.internals.WrappedStateStore;
import org.apache.kafka.streams.test.TestRecord;

/**
 * Runs described topologies through Kafka Streams' own test driver: one case a line on standard input, one answer a line on
 * standard output. The other half, with the same functions, is crates/streams/tests/it/judge.
 */
@SuppressWarnings({"unchecked", "rawtypes"})
public class StreamsJudge {
    static final ObjectMapper JSON = new ObjectMapper();
    static final HexFormat HEX = HexFormat.of();
    static final Serde STRING = Serdes.String();

    public static void main(final String[] args) throws Exception {
        final PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        final BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            final ObjectNode answer = JSON.createObjectNode();
            try {
                run(JSON.readTree(line), answer);
            } catch (final Throwable error) {
                answer.put("error", String.valueOf(error));
                if (args.length > 0) {
                    error.printStackTrace();
                }
            }
            out.println(JSON.writeValueAsString(answer));
            out.flush();
        }
    }

    static void run(final JsonNode spec, final ObjectNode answer) throws Exception {
        final Properties config = new Properties();
        config.put(StreamsConfig.APPLICATION_ID_CONFIG, "app");
        config.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, "none:1");
        config.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        config.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        config.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, spec.path("cache").asBoolean(false) ? 10_000_000L : 0L);
        if (spec.path("memory").asBoolean(true)) {
            config.put(StreamsConfig.DSL_STORE_SUPPLIERS_CLASS_CONFIG,
                org.apache.kafka.streams.state.BuiltInDslStoreSuppliers.InMemoryDslStoreSuppliers.class);
        }
        config.put(StreamsConfig.STATE_DIR_CONFIG, System.getProperty("java.io.tmpdir") + "/streams-judge-" + ProcessHandle.current().pid());
        if (spec.path("reuse").asBoolean(false)) {
            config.put(StreamsConfig.TOPOLOGY_OPTIMIZATION_CONFIG, StreamsConfig.REUSE_KTABLE_SOURCE_TOPICS);
        }
        final Topology topology = new StreamsJudge().build(spec, config);
        answer.put("describe", topology.describe().toString());
        final ObjectNode outputs = answer.putObject("outputs");
        final ObjectNode stores = answer.putObject("stores");
        final TopologyTestDriver driver = new TopologyTestDriver(topology, config, Instant.ofEpochMilli(0));
        try {
            final Map<String, TestInputTopic<byte[], byte[]>> inputs = new TreeMap<>();
            for (final JsonNode input : spec.get("inputs")) {
                if (input.has("advance")) {
                    driver.advanceWallClockTime(Duration.ofMillis(input.get("advance").asLong()));
                    continue;
                }
                final String topic = input.get("topic").asText();
                final RecordHeaders headers = new RecordHeaders();
                for (final JsonNode header : input.path("headers")) {
                    headers.add(header.get(0).asText(), bytes(header.get(1)));
                }
                inputs.computeIfAbsent(topic, name -> driver.createInputTopic(name, new ByteArraySerializer(), new ByteArraySerializer()))
                    .pipeInput(new TestRecord<>(bytes(input.get("key")), bytes(input.get("value")), headers, input.get("ts").asLong()));
            }
            for (final String topic : new TreeSet<>(driver.producedTopicNames())) {
                final ArrayNode list = outputs.putArray(topic);
                final TestOutputTopic<byte[], byte[]> output = driver.createOutputTopic(topic, new ByteArrayDeserializer(), new ByteArrayDeserializer());
                for (final TestRecord<byte[], byte[]> record : output.readRecordsToList()) {
                    final ArrayNode row = list.addArray();
                    row.add(hex(record.key())).add(hex(record.value())).add(record.timestamp());
                    final ArrayNode headers = row.addArray();
                    for (final Header header : record.headers()) {
                        headers.addArray().add(header.key()).add(hex(header.value()));
                    }
                }
            }
            for (final Map.Entry<String, StateStore> entry : driver.getAllStateStores().entrySet()) {
                dump(entry.getValue(), stores.putArray(entry.getKey()));
            }
        } finally {
            driver.close();
        }
    }

    static void dump(final StateStore outer, final ArrayNode rows) {
        StateStore store = outer;
        while (store instanceof WrappedStateStore) {
            store = ((WrappedStateStore) store).wrapped();
        }
        final List<String> lines = new ArrayList<>();
        if (outer instanceof VersionedKeyValueStore) {
            for (final String key : new String[] {"a", "b", "c", "a\0", "", "k0", "k1", "k2", "k3"}) {
                for (long time = 0; time < 6_000; time += 37) {
                    final VersionedRecord<?> found = ((VersionedKeyValueStore<String, ?>) outer).get(key, time);
                    if (found != null) {
                        final byte[] value = found.value() instanceof Long
                            ? java.nio.ByteBuffer.allocate(8).putLong((Long) found.value()).array() : bytes(JSON.valueToTree(found.value()));
                        lines.add(hex(bytes(JSON.valueToTree(key))) + "@" + time + "=" + hex(value) + " since " + found.timestamp());
                    }
                }
            }
        } else if (store instanceof KeyValueStore) {
            try (KeyValueIterator<Bytes, byte[]> all = ((KeyValueStore<Bytes, byte[]>) store).all()) {
                all.forEachRemaining(entry -> lines.add(hex(entry.key.get()) + "=" + hex(withoutHeaders(outer, entry.value))));
            }
        } else if (store instanceof WindowStore) {
            try (KeyValueIterator<Windowed<Bytes>, byte[]> all = ((WindowStore<Bytes, byte[]>) store).all()) {
                all.forEachRemaining(entry -> lines.add(hex(entry.key.key().get()) + "@" + entry.key.window().start() + "=" + hex(withoutHeaders(outer, entry.value))));
            }
        } else if (store instanceof SessionStore) {
            try (KeyValueIterator<Windowed<Bytes>, byte[]> all = ((SessionStore<Bytes, byte[]>) store).fetch((Bytes) null, null)) {
                all.forEachRemaining(entry -> lines.add(hex(entry.key.key().get()) + "@" + entry.key.window().start() + "-" + entry.key.window().end() + "=" + hex(entry.value)));
            }
        } else {
            lines.add("other");
        }
        lines.sort(null);
        lines.forEach(rows::add);
    }

    /** Join windows and subscriptions keep headers before the timestamp, behind a length; they are not in the changelog's value. */
    static byte[] withoutHeaders(final StateStore store, final byte[] value) {
        if (!store.name().matches("KSTREAM-(JOIN|OUTER)(THIS|OTHER)-.*|KTABLE-FK-JOIN-SUBSCRIPTION-STATE-STORE-.*|.*-subscription-store")) {
            return value;
        }
        final java.nio.ByteBuffer buffer = java.nio.ByteBuffer.wrap(value);
        final int length = org.apache.kafka.common.utils.ByteUtils.readVarint(buffer);
        return java.util.Arrays.copyOfRange(value, buffer.position() + length, value.length);
    }

    static byte[] bytes(final JsonNode text) {
        return text == null || text.isNull() ? null : text.asText().getBytes(StandardCharsets.UTF_8);
    }

    static String hex(final byte[] bytes) {
        return bytes == null ? null : HEX.formatHex(bytes);
    }

    // The functions that topologies are made of; all work on texts.

    static String text(final Object value) {
        if (value instanceof Windowed) {
            final Windowed<?> windowed = (Windowed<?>) value;
            return text(windowed.key()) + "@" + windowed.window().start() + "-" + windowed.window().end();
        }
        return value == null ? null : value.toString();
    }

    static int h(final Object value) {
        final String text = text(value);
        if (text == null) {
            return 7;
        }
        int sum = 0;
        for (int i = 0; i < text.length(); i++) {
            sum = (sum * 3 + text.charAt(i)) % 1009;
        }
        return sum;
    }

    static String tail(final String text, final int length) {
        return text.length() > length ? text.substring(text.length() - length) : text;
    }

    static boolean pred(final int n, final Object key, final Object value) {
        return (h(key) * (n + 1) + h(value) * 3 + n) % 4 != 0;
    }

    static String mapValue(final int n, final Object key, final Object value) {
        if (value == null) {
            return n % 2 == 0 ? null : "N" + n;
        }
        if ((h(value) + n) % 9 == 0) {
            return null;
        }
        return tail(text(value) + "m" + h(key) % 10, 12);
    }

    static String selectKey(final int n, final Object key, final Object value) {
        final int mix = h(key) + h(value) * 5 + n;
        return mix % 11 == 0 ? null : "k" + mix % 4;
    }

    static String foreign(final int n, final Object key, final Object value) {
        final int mix = h(key) + h(value) * 5 + n;
        return mix % 11 == 0 ? null : new String[] {"a", "b", "c", "k0", "k1", "k2"}[mix % 6];
    }

    static List<String> flat(final int n, final Object value) {
        final int mix = (h(value) + n) % 4;
        final List<String> values = new ArrayList<>();
        for (int i = 0; i < mix; i++) {
            values.add(i == 2 ? null : tail("f" + i + text(value), 12));
        }
        return values;
    }

    static String aggregate(final int n, final Object value, final String aggregate) {
        return (h(value) + n) % 13 == 0 ? null : tail(aggregate + "+" + text(value), 16);
    }

    static String subtract(final int n, final Object value, final String aggregate) {
        return (h(value) + n) % 13 == 1 ? null : tail(aggregate + "-" + text(value), 16);
    }

    static String joined(final int n, final Object left, final Object right) {
        return (h(left) + h(right) + n) % 17 == 0 ? null : tail(text(left) + "|" + text(right), 20);
    }

    static String reduced(final Object one, final Object other) {
        return one == null ? (String) other : other == null ? (String) one : tail(one + "," + other, 14);
    }

    // The description.

    final List<Object> nodes = new ArrayList<>();

    static String name(final JsonNode op) {
        return op.path("name").isNull() || op.path("name").isMissingNode() ? null : op.get("name").asText();
    }

    static String store(final JsonNode op) {
        return op.path("store").isNull() || op.path("store").isMissingNode() ? null : op.get("store").asText();
    }

    static Named named(final JsonNode op) {
        return Named.as(name(op));
    }

    static Duration ms(final JsonNode op, final String field) {
        return Duration.ofMillis(op.get(field).asLong());
    }

    static Materialized materialized(final JsonNode op, final Serde values) {
        if (store(op) != null && op.path("history").isNumber()) {
            return ((Materialized) Materialized.as(Stores.persistentVersionedKeyValueStore(store(op), ms(op, "history"), ms(op, "segment"))))
                .withKeySerde(STRING).withValueSerde(values);
        }
        final Materialized materialized = store(op) == null ? Materialized.with(Serdes.String(), values) : ((Materialized) Materialized.as(store(op))).withKeySerde(STRING).withValueSerde(values);
        return materialized;
    }

    KStream stream(final JsonNode op, final String field) {
        return (KStream) nodes.get(op.get(field).asInt());
    }

    KTable table(final JsonNode op, final String field) {
        return (KTable) nodes.get(op.get(field).asInt());
    }

    Topology build(final JsonNode spec, final Properties config) {
        final StreamsBuilder builder = new StreamsBuilder();
        for (final JsonNode op : spec.get("ops")) {
            nodes.add(node(builder, op));
        }
        return builder.build(config);
    }

    Object node(final StreamsBuilder builder, final JsonNode op) {
        final int n = op.path("n").asInt();
        final String name = name(op);
        switch (op.get("op").asText()) {
            case "stream": {
                final List<String> topics = new ArrayList<>();
                op.get("topics").forEach(topic -> topics.add(topic.asText()));
                final Consumed consumed = Consumed.with(Serdes.String(), Serdes.String());
                return builder.stream(topics, name == null ? consumed : consumed.withName(name));
            }
            case "table": {
                final Consumed consumed = Consumed.with(Serdes.String(), Serdes.String());
                return builder.table(op.get("topic").asText(), name == null ? consumed : consumed.withName(name), materialized(op, Serdes.String()));
            }
            case "filter": {
                final KStream in = stream(op, "in");
                final Predicate p = (k, v) -> pred(n, k, v);
                return name == null ? in.filter(p) : in.filter(p, named(op));
            }
            case "filterNot": {
                final KStream in = stream(op, "in");
                final Predicate p = (k, v) -> pred(n, k, v);
                return name == null ? in.filterNot(p) : in.filterNot(p, named(op));
            }
            case "mapValues": {
                final KStream in = stream(op, "in");
                final ValueMapperWithKey f = (k, v) -> mapValue(n, k, v);
                return name == null ? in.mapValues(f) : in.mapValues(f, named(op));
            }
            case "selectKey": {
                final KStream in = stream(op, "in");
                final KeyValueMapper f = (k, v) -> selectKey(n, k, v);
                return name == null ? in.selectKey(f) : in.selectKey(f, named(op));
            }
            case "map": {
                final KStream in = stream(op, "in");
                final KeyValueMapper f = (k, v) -> KeyValue.pair(selectKey(n, k, v), mapValue(n, k, v));
                return name == null ? in.map(f) : in.map(f, named(op));
            }
            case "flatMap": {
                final KStream in = stream(op, "in");
                final KeyValueMapper f = (k, v) -> {
                    final List<KeyValue> all = new ArrayList<>();
                    flat(n, v).forEach(value -> all.add(KeyValue.pair(selectKey(n, k, value), value)));
                    return all;
                };
                return name == null ? in.flatMap(f) : in.flatMap(f, named(op));
            }
            case "flatMapValues": {
                final KStream in = stream(op, "in");
                final ValueMapperWithKey f = (k, v) -> flat(n, v);
                return name == null ? in.flatMapValues(f) : in.flatMapValues(f, named(op));
            }
            case "peek": {
                final KStream in = stream(op, "in");
                return name == null ? in.peek((k, v) -> { }) : in.peek((k, v) -> { }, named(op));
            }
            case "foreach": {
                final KStream in = stream(op, "in");
                if (name == null) {
                    in.foreach((k, v) -> { });
                } else {
                    in.foreach((k, v) -> { }, named(op));
                }
                return null;
            }
            case "merge": {
                final KStream in = stream(op, "in");
                return name == null ? in.merge(stream(op, "other")) : in.merge(stream(op, "other"), named(op));
            }
            case "split": {
                final KStream in = stream(op, "in");
                final BranchedKStream split = name == null ? in.split() : in.split(named(op));
                return split.branch((k, v) -> pred(n, k, v));
            }
            case "branch": {
                // The first branch was made with the splitter; it and the default branch are its results.
                final BranchedKStream split = (BranchedKStream) nodes.get(op.get("in").asInt());
                final Map<String, KStream> branches = split.defaultBranch();
                for (final Map.Entry<String, KStream> entry : branches.entrySet()) {
                    if (entry.getKey().endsWith(op.get("which").asText())) {
                        return entry.getValue();
                    }
                }
                throw new IllegalStateException("no branch in " + branches.keySet());
            }
            case "repartition": {
                final KStream in = stream(op, "in");
                final Repartitioned repartitioned = name == null ? Repartitioned.with(Serdes.String(), Serdes.String()) : ((Repartitioned) Repartitioned.as(name)).withKeySerde(STRING).withValueSerde(STRING);
                return in.repartition(op.has("partitions") ? repartitioned.withNumberOfPartitions(op.get("partitions").asInt()) : repartitioned);
            }
            case "to": {
                final KStream in = stream(op, "in");
                if (name == null) {
                    in.to(op.get("topic").asText());
                } else {
                    in.to(op.get("topic").asText(), Produced.as(name));
                }
                return null;
            }
            case "toTable": {
                final KStream in = stream(op, "in");
                return name == null ? in.toTable(materialized(op, Serdes.String())) : in.toTable(named(op), materialized(op, Serdes.String()));
            }
            case "groupByKey": {
                final KStream in = stream(op, "in");
                final Grouped grouped = Grouped.with(Serdes.String(), Serdes.String());
                return in.groupByKey(name == null ? grouped : grouped.withName(name));
            }
            case "groupBy": {
                final KStream in = stream(op, "in");
                final Grouped grouped = Grouped.with(Serdes.String(), Serdes.String());
                return in.groupBy((k, v) -> selectKey(n, k, v), name == null ? grouped : grouped.withName(name));
            }
            case "window": {
                final TimeWindows windows = TimeWindows.ofSizeAndGrace(ms(op, "size"), ms(op, "grace")).advanceBy(ms(op, "advance"));
                final TimeWindowedKStream windowed = ((KGroupedStream) nodes.get(op.get("in").asInt())).windowedBy(windows);
                return op.path("final").asBoolean() ? windowed.emitStrategy(EmitStrategy.onWindowClose()) : windowed;
            }
            case "sliding": {
                final SlidingWindows windows = SlidingWindows.ofTimeDifferenceAndGrace(ms(op, "size"), ms(op, "grace"));
                final TimeWindowedKStream windowed = ((KGroupedStream) nodes.get(op.get("in").asInt())).windowedBy(windows);
                return op.path("final").asBoolean() ? windowed.emitStrategy(EmitStrategy.onWindowClose()) : windowed;
            }
            case "session": {
                final SessionWindows windows = SessionWindows.ofInactivityGapAndGrace(ms(op, "size"), ms(op, "grace"));
                final SessionWindowedKStream windowed = ((KGroupedStream) nodes.get(op.get("in").asInt())).windowedBy(windows);
                return op.path("final").asBoolean() ? windowed.emitStrategy(EmitStrategy.onWindowClose()) : windowed;
            }
            case "globalTable": {
                final Consumed consumed = Consumed.with(Serdes.String(), Serdes.String());
                final Consumed how = name == null ? consumed : consumed.withName(name);
                final String topic = op.get("topic").asText();
                return store(op) == null ? builder.globalTable(topic, how) : builder.globalTable(topic, how, materialized(op, Serdes.String()));
            }
            case "cogroup": {
                final Aggregator add = (k, v, a) -> aggregate(n, v, (String) a);
                CogroupedKStream groups = ((KGroupedStream) nodes.get(op.get("in").asInt())).cogroup(add);
                for (final JsonNode other : op.get("others")) {
                    groups = groups.cogroup((KGroupedStream) nodes.get(other.asInt()), add);
                }
                final Initializer init = () -> "";
                final Materialized how = materialized(op, Serdes.String());
                final Duration grace = Duration.ofMillis(op.path("grace").asLong());
                switch (op.get("windows").asText()) {
                    case "window": {
                        final TimeWindows windows = TimeWindows.ofSizeAndGrace(ms(op, "size"), grace).advanceBy(ms(op, "advance"));
                        return name == null ? groups.windowedBy(windows).aggregate(init, how) : groups.windowedBy(windows).aggregate(init, named(op), how);
                    }
                    case "sliding": {
                        final SlidingWindows windows = SlidingWindows.ofTimeDifferenceAndGrace(ms(op, "size"), grace);
                        return name == null ? groups.windowedBy(windows).aggregate(init, how) : groups.windowedBy(windows).aggregate(init, named(op), how);
                    }
                    case "session": {
                        final SessionWindows windows = SessionWindows.ofInactivityGapAndGrace(ms(op, "size"), grace);
                        final Merger merge = (k, one, other) -> tail(one + "&" + other, 16);
                        return name == null ? groups.windowedBy(windows).aggregate(init, merge, how) : groups.windowedBy(windows).aggregate(init, merge, named(op), how);
                    }
                    default:
                        return name == null ? groups.aggregate(init, how) : groups.aggregate(init, named(op), how);
                }
            }
            case "suppressFinal": {
                final Suppressed how = Suppressed.untilWindowCloses(Suppressed.BufferConfig.unbounded());
                return table(op, "in").suppress(name == null ? how : how.withName(name));
            }
            case "suppress": {
                Suppressed.EagerBufferConfig buffer = Suppressed.BufferConfig.maxRecords(Long.MAX_VALUE);
                if (op.path("records").isNumber()) {
                    buffer = buffer.withMaxRecords(op.get("records").asLong());
                }
                if (op.path("bytes").isNumber()) {
                    buffer = buffer.withMaxBytes(op.get("bytes").asLong());
                }
                final Suppressed how = Suppressed.untilTimeLimit(ms(op, "wait"), buffer);
                return table(op, "in").suppress(name == null ? how : how.withName(name));
            }
            case "foreignJoin": {
                final KTable in = table(op, "in");
                final KTable other = table(op, "other");
                final java.util.function.BiFunction f = (k, v) -> foreign(n, k, v);
                final ValueJoiner joiner = (l, r) -> joined(n, l, r);
                final Materialized how = materialized(op, Serdes.String());
                final TableJoined named = TableJoined.as(name);
                final boolean inner = op.get("kind").asText().equals("inner");
                return inner ? in.join(other, f, joiner, named, how) : in.leftJoin(other, f, joiner, named, how);
            }
            case "streamTableJoin": {
                final KStream in = stream(op, "in");
                final KTable other = table(op, "other");
                final ValueJoiner f = (l, r) -> joined(n, l, r);
                Joined how = Joined.with(Serdes.String(), Serdes.String(), null);
                if (op.path("grace").isNumber()) {
                    how = how.withGracePeriod(ms(op, "grace"));
                }
                final Joined joined = name == null ? how : how.withName(name);
                return op.get("kind").asText().equals("inner") ? in.join(other, f, joined) : in.leftJoin(other, f, joined);
            }
            case "globalJoin": {
                final KStream in = stream(op, "in");
                final GlobalKTable other = (GlobalKTable) nodes.get(op.get("other").asInt());
                final KeyValueMapper key = (k, v) -> selectKey(n, k, v);
                final ValueJoiner f = (l, r) -> joined(n, l, r);
                if (op.get("kind").asText().equals("inner")) {
                    return name == null ? in.join(other, key, f) : in.join(other, key, f, named(op));
                }
                return name == null ? in.leftJoin(other, key, f) : in.leftJoin(other, key, f, named(op));
            }
            case "streamJoin": {
                final KStream in = stream(op, "in");
                final KStream other = stream(op, "other");
                final ValueJoiner f = (l, r) -> joined(n, l, r);
                final JoinWindows windows = JoinWindows.ofTimeDifferenceAndGrace(Duration.ZERO, ms(op, "grace")).before(ms(op, "before")).after(ms(op, "after"));
                final StreamJoined how = StreamJoined.with(Serdes.String(), Serdes.String(), Serdes.String());
                final StreamJoined joined = name == null ? how : how.withName(name);
                switch (op.get("kind").asText()) {
                    case "inner":
                        return in.join(other, f, windows, joined);
                    case "left":
                        return in.leftJoin(other, f, windows, joined);
                    default:
                        return in.outerJoin(other, f, windows, joined);
                }
            }
            case "count": case "reduce": case "aggregate":
                return aggregated(op, nodes.get(op.get("in").asInt()), n, name);
            case "tableFilter": {
                final KTable in = table(op, "in");
                final Predicate p = (k, v) -> pred(n, k, v);
                if (op.path("materialized").asBoolean()) {
                    final Materialized m = materialized(op, op.path("numbers").asBoolean() ? Serdes.Long() : Serdes.String());
                    return name == null ? in.filter(p, m) : in.filter(p, named(op), m);
                }
                return name == null ? in.filter(p) : in.filter(p, named(op));
            }
            case "tableMapValues": {
                final KTable in = table(op, "in");
                final ValueMapperWithKey f = (k, v) -> mapValue(n, k, v);
                if (op.path("materialized").asBoolean()) {
                    final Materialized m = store(op) == null ? Materialized.with(null, Serdes.String()) : materialized(op, Serdes.String()).withKeySerde(null);
                    return name == null ? in.mapValues(f, m) : in.mapValues(f, named(op), m);
                }
                return name == null ? in.mapValues(f) : in.mapValues(f, named(op));
            }
            case "toStream": {
                final KTable in = table(op, "in");
                return name == null ? in.toStream() : in.toStream(named(op));
            }
            case "tableGroupBy": {
                final KTable in = table(op, "in");
                final Grouped grouped = Grouped.with(Serdes.String(), Serdes.String());
                return in.groupBy((k, v) -> KeyValue.pair(selectKey(n, k, v), text(v)), name == null ? grouped : grouped.withName(name));
            }
            case "tableJoin": {
                final KTable in = table(op, "in");
                final KTable other = table(op, "other");
                final ValueJoiner f = (l, r) -> joined(n, l, r);
                final Materialized m = op.path("materialized").asBoolean()
                    ? (store(op) == null ? Materialized.with(null, Serdes.String()) : materialized(op, Serdes.String()).withKeySerde(null))
                    : null;
                switch (op.get("kind").asText()) {
                    case "inner":
                        return m == null ? (name == null ? in.join(other, f) : in.join(other, f, named(op))) : (name == null ? in.join(other, f, m) : in.join(other, f, named(op), m));
                    case "left":
                        return m == null ? (name == null ? in.leftJoin(other, f) : in.leftJoin(other, f, named(op))) : (name == null ? in.leftJoin(other, f, m) : in.leftJoin(other, f, named(op), m));
                    default:
                        return m == null ? (name == null ? in.outerJoin(other, f) : in.outerJoin(other, f, named(op))) : (name == null ? in.outerJoin(other, f, m) : in.outerJoin(other, f, named(op), m));
                }
            }
            default:
                throw new IllegalArgumentException("unknown operator: " + op);
        }
    }

    Object aggregated(final JsonNode op, final Object in, final int n, final String name) {
        final boolean m = op.path("materialized").asBoolean();
        final Initializer init = () -> "";
        final Aggregator add = (k, v, a) -> aggregate(n, v, (String) a);
        final Aggregator sub = (k, v, a) -> subtract(n, v, (String) a);
        final Reducer reduce = (one, other) -> reduced(one, other);
        final Named named = name == null ? null : Named.as(name);
        final String kind = op.get("op").asText();
        final Materialized longs = m ? materialized(op, Serdes.Long()) : null;
        final Materialized texts = materialized(op, Serdes.String());
        if (in instanceof KGroupedStream) {
            final KGroupedStream group = (KGroupedStream) in;
            switch (kind) {
                case "count":
                    return m ? (named == null ? group.count(longs) : group.count(named, longs)) : (named == null ? group.count() : group.count(named));
                case "reduce":
                    return named == null ? group.reduce(reduce, texts) : group.reduce(reduce, named, texts);
                default:
                    return named == null ? group.aggregate(init, add, texts) : group.aggregate(init, add, named, texts);
            }
        }
        if (in instanceof TimeWindowedKStream) {
            final TimeWindowedKStream group = (TimeWindowedKStream) in;
            switch (kind) {
                case "count":
                    return m ? (named == null ? group.count(longs) : group.count(named, longs)) : (named == null ? group.count() : group.count(named));
                case "reduce":
                    return named == null ? group.reduce(reduce, texts) : group.reduce(reduce, named, texts);
                default:
                    return named == null ? group.aggregate(init, add, texts) : group.aggregate(init, add, named, texts);
            }
        }
        if (in instanceof SessionWindowedKStream) {
            final SessionWindowedKStream group = (SessionWindowedKStream) in;
            final Merger merge = (k, one, other) -> tail(one + "&" + other, 16);
            switch (kind) {
                case "count":
                    return m ? (named == null ? group.count(longs) : group.count(named, longs)) : (named == null ? group.count() : group.count(named));
                case "reduce":
                    return named == null ? group.reduce(reduce, texts) : group.reduce(reduce, named, texts);
                default:
                    return named == null ? group.aggregate(init, add, merge, texts) : group.aggregate(init, add, merge, named, texts);
            }
        }
        final KGroupedTable group = (KGroupedTable) in;
        final Reducer adder = (one, other) -> aggregate(n, other, (String) one);
        final Reducer subtractor = (one, other) -> subtract(n, other, (String) one);
        switch (kind) {
            case "count":
                return m ? group.count(longs) : group.count();
            case "reduce":
                return group.reduce(adder, subtractor, texts);
            default:
                return group.aggregate(init, add, sub, texts);
        }
    }
}
