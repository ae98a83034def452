// Fills a node of Apache Kafka 4.3.1 with one of everything that a log directory can hold, and writes down what a
// client sees of it. `cargo run -p afluente-harness --example make_fixtures` runs the phases and restarts between them.
//
//   FixtureNode BOOTSTRAP first | second | third | fourth | born
//   FixtureNode BOOTSTRAP list FILE

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.File;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.acl.*;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.SecurityDisabledException;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.quota.*;
import org.apache.kafka.common.resource.*;
import org.apache.kafka.common.serialization.*;

public class FixtureNode {
    static String bootstrap;
    static Admin admin;

    /** A fixed day for most records, so that they are the same in each making. */
    static final long DAY = 1_767_225_600_000L; // 2026-01-01T00:00:00Z

    public static void main(String[] args) throws Exception {
        bootstrap = args[0];
        admin = Admin.create(Map.of("bootstrap.servers", bootstrap));
        switch (args[1]) {
            case "first" -> first();
            case "second" -> second();
            case "third" -> third();
            case "fourth" -> fourth();
            case "born" -> born();
            case "list" -> list(new File(args[2]));
            default -> throw new IllegalArgumentException(args[1]);
        }
        // Open transactions are to stay open: no close(), which would abort them.
        Runtime.getRuntime().halt(0);
    }

    // ---- what is written -------------------------------------------------------------------------------------------

    static void first() throws Exception {
        var small = Map.of("internal.segment.bytes", "14336", "index.interval.bytes", "1024");
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) create("codec-" + codec, 1, small);
        create("idempotent", 2, small);
        create("transactions", 2, small);
        create("compacted", 1, with(small, "cleanup.policy", "compact", "min.cleanable.dirty.ratio", "0.01"));
        create("compacted-transactions", 1,
            with(small, "cleanup.policy", "compact", "min.cleanable.dirty.ratio", "0.01"));
        create("compact-delete", 1, with(small, "cleanup.policy", "compact,delete", "retention.ms", "-1"));
        create("log-append-time", 1, with(small, "message.timestamp.type", "LogAppendTime"));
        create("create-time", 1, small);
        create("deleted-records", 1, small);
        create("deleted-all", 1, small);
        create("retained", 1, with(small, "retention.bytes", "6000"));
        create("empty", 1, Map.of());
        create("headers", 1, Map.of());
        create("epochs", 1, small);
        create("large", 1, Map.of("max.message.bytes", "2000000"));
        create("many", 8, Map.of());
        create("gone", 2, Map.of());
        create("grown", 1, Map.of());

        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd"))
            try (var producer = producer(Map.of("compression.type", codec, "enable.idempotence", "false",
                    "batch.size", "4096", "linger.ms", "20"))) {
                for (int i = 0; i < 400; i++)
                    producer.send(record("codec-" + codec, 0, DAY + i * 1000L, "key-" + i % 50, text(i)));
            }
        idempotent(3, 0);
        transactions();
        compacted();
        try (var producer = producer(Map.of("compression.type", "lz4", "batch.size", "2048", "linger.ms", "20"))) {
            for (int i = 0; i < 300; i++)
                producer.send(record("log-append-time", 0, DAY + i, "key-" + i, text(i)));
        }
        try (var producer = producer(Map.of("batch.size", "1000", "linger.ms", "20"))) {
            // Time runs forward, back, and stands still; the time index holds only what is greater than before.
            for (int i = 0; i < 300; i++) {
                long at = DAY + switch (i / 60) {
                    case 0 -> i * 1000L;
                    case 1 -> 500_000L - i * 1000L;
                    case 2 -> 700_000L;
                    case 3 -> i * 7919L % 900_000L;
                    default -> i * 5000L;
                };
                producer.send(record("create-time", 0, at, "key-" + i, text(i)));
            }
        }
        for (String topic : List.of("deleted-records", "deleted-all", "retained"))
            try (var producer = producer(Map.of("batch.size", "1500", "linger.ms", "20"))) {
                for (int i = 0; i < 400; i++) producer.send(record(topic, 0, DAY + i, "key-" + i, text(i)));
            }
        admin.deleteRecords(Map.of(
            new TopicPartition("deleted-records", 0), RecordsToDelete.beforeOffset(123),
            new TopicPartition("deleted-all", 0), RecordsToDelete.beforeOffset(-1))).all().get();
        headers();
        epoch("first");
        try (var producer = producer(Map.of("max.request.size", "2000000", "compression.type", "zstd"))) {
            producer.send(record("large", 0, DAY, "zeros", "0".repeat(1_500_000))).get();
            producer.send(record("large", 0, DAY + 1, "text", text(1).repeat(2_000))).get();
        }
        try (var producer = producer(Map.of())) {
            for (int i = 0; i < 160; i++) producer.send(record("many", i % 8, DAY + i, "key-" + i, text(i)));
            producer.send(record("gone", 0, DAY, "key", "value"));
        }
        metadata();
        groups();
        waitFor("retained to lose its first segments", () ->
            offset("retained", 0, OffsetSpec.earliest()) > 0);
        waitFor("compacted to be cleaned", () -> read("compacted", 0, "read_uncommitted").size() < 350);
        waitFor("compacted-transactions to be cleaned", () ->
            read("compacted-transactions", 0, "read_uncommitted").size() < 400);
    }

    static void second() throws Exception {
        idempotent(2, 1000);
        epoch("second");
        try (var producer = transactional("steady")) {
            producer.beginTransaction();
            for (int i = 0; i < 10; i++) producer.send(record("transactions", i % 2, DAY + i, "again-" + i, text(i)));
            producer.commitTransaction();
        }
    }

    static void third() throws Exception {
        epoch("third");
        // Left open: the last stable offset stays in front of these.
        var open = transactional("open");
        open.beginTransaction();
        for (int i = 0; i < 10; i++) open.send(record("transactions", i % 2, DAY + i, "open-" + i, text(i)));
        open.flush();
        try (var producer = producer(Map.of())) {
            for (int i = 0; i < 5; i++) producer.send(record("transactions", 0, DAY + i, "plain-" + i, text(i)));
        }
    }

    static void fourth() throws Exception {
        idempotent(2, 2000);
        epoch("fourth");
        var torn = transactional("torn");
        torn.beginTransaction();
        for (int i = 0; i < 10; i++) torn.send(record("transactions", 1, DAY + i, "torn-" + i, text(i)));
        torn.flush();
        try (var producer = producer(Map.of("compression.type", "gzip"))) {
            for (int i = 0; i < 100; i++) producer.send(record("codec-gzip", 0, DAY + i, "late-" + i, text(i)));
            for (int i = 0; i < 50; i++) producer.send(record("compacted", 0, DAY + i, "key-" + i % 7, text(i)));
        }
    }

    /** Less of everything, on a node of ours: it has no authorizer, and nobody waits for its cleaner. */
    static void born() throws Exception {
        create("idempotent", 2, Map.of());
        create("transactions", 2, Map.of());
        create("compacted", 1, Map.of("cleanup.policy", "compact"));
        create("epochs", 1, Map.of());
        create("empty", 1, Map.of());
        create("many", 8, Map.of());
        create("gone", 2, Map.of());
        create("grown", 1, Map.of());
        idempotent(2, 0);
        transactions();
        epoch("first");
        try (var producer = producer(Map.of("compression.type", "zstd"))) {
            for (int i = 0; i < 160; i++) producer.send(record("many", i % 8, DAY + i, "key-" + i, text(i)));
            for (int i = 0; i < 100; i++) producer.send(record("compacted", 0, DAY + i, "key-" + i % 7, text(i)));
            producer.send(record("gone", 0, DAY, "key", "value"));
        }
        metadata();
        groups();
    }

    static void idempotent(int producers, int from) throws Exception {
        for (int p = 0; p < producers; p++)
            try (var producer = producer(Map.of("batch.size", "700", "linger.ms", "5"))) {
                for (int i = 0; i < 100; i++)
                    producer.send(record("idempotent", i % 2, System.currentTimeMillis(), "producer-" + p,
                        text(from + i)));
            }
    }

    /** Two producers interleaved on two partitions, commits and aborts, with plain records in between. */
    static void transactions() throws Exception {
        try (var steady = transactional("steady"); var fickle = transactional("fickle"); var plain = producer(Map.of())) {
            for (int round = 0; round < 12; round++) {
                steady.beginTransaction();
                fickle.beginTransaction();
                for (int i = 0; i < 10; i++) {
                    long at = DAY + round * 1000L + i;
                    steady.send(record("transactions", i % 2, at, "steady-" + round, text(i)));
                    fickle.send(record("transactions", (i + round) % 2, at, "fickle-" + round, text(i)));
                    if (i % 5 == 0) plain.send(record("transactions", i % 2, at, "plain-" + round, text(i)));
                }
                steady.flush();
                fickle.flush();
                plain.flush();
                if (round % 4 == 3) steady.abortTransaction();
                else steady.commitTransaction();
                if (round % 2 == 0) fickle.abortTransaction();
                else fickle.commitTransaction();
            }
        }
    }

    static void compacted() throws Exception {
        try (var producer = producer(Map.of("batch.size", "1500", "linger.ms", "20"))) {
            for (int i = 0; i < 600; i++) {
                boolean tombstone = i % 40 == 39;
                producer.send(record("compacted", 0, DAY + i, "key-" + i % 60, tombstone ? null : text(i)));
                producer.send(record("compact-delete", 0, DAY + i, "key-" + i % 60, tombstone ? null : text(i)));
            }
        }
        try (var producer = transactional("compacting")) {
            for (int round = 0; round < 90; round++) {
                producer.beginTransaction();
                for (int i = 0; i < 10; i++)
                    producer.send(record("compacted-transactions", 0, DAY + round, "key-" + (round * 3 + i) % 20,
                        i == 9 ? null : text(i)));
                if (round % 3 == 2) {
                    producer.flush();
                    producer.abortTransaction();
                } else producer.commitTransaction();
            }
        }
    }

    static void headers() throws Exception {
        try (var producer = producer(Map.of())) {
            var twice = record("headers", 0, DAY, "twice", "the same header twice, and one without a value");
            twice.headers().add("h", bytes("1")).add("h", bytes("2")).add("h", bytes("1")).add("null", null)
                .add("", bytes("empty name")).add("empty", new byte[0]).add("bytes", new byte[] {0, -1, -128, 127});
            producer.send(twice);
            producer.send(record("headers", 0, DAY + 1, null, "null key"));
            producer.send(record("headers", 0, DAY + 2, "null value", null));
            producer.send(record("headers", 0, DAY + 3, null, null));
            producer.send(new ProducerRecord<>("headers", 0, DAY + 4, new byte[0], new byte[0]));
            var many = record("headers", 0, DAY + 5, "many", "many headers");
            for (int i = 0; i < 200; i++) many.headers().add("ключ-" + i, bytes("значение-" + i));
            producer.send(many);
        }
    }

    static void epoch(String name) throws Exception {
        try (var producer = producer(Map.of("batch.size", "1500", "linger.ms", "20"))) {
            for (int i = 0; i < 60; i++) producer.send(record("epochs", 0, DAY + i, name + "-" + i, text(i)));
        }
    }

    /** Records of the metadata log beyond topics: configs, quotas, users, ACLs, a deleted and a grown topic. */
    static void metadata() throws Exception {
        admin.deleteTopics(List.of("gone")).all().get();
        admin.createPartitions(Map.of("grown", NewPartitions.increaseTo(4))).all().get();
        var set = AlterConfigOp.OpType.SET;
        admin.incrementalAlterConfigs(Map.of(
            new ConfigResource(ConfigResource.Type.TOPIC, "grown"), List.of(
                new AlterConfigOp(new ConfigEntry("retention.ms", "86400000"), set),
                new AlterConfigOp(new ConfigEntry("compression.type", "lz4"), set)),
            new ConfigResource(ConfigResource.Type.BROKER, "1"), List.of(
                new AlterConfigOp(new ConfigEntry("log.cleaner.threads", "2"), set)),
            new ConfigResource(ConfigResource.Type.BROKER, ""), List.of(
                new AlterConfigOp(new ConfigEntry("message.max.bytes", "1048600"), set)),
            new ConfigResource(ConfigResource.Type.GROUP, "modern-group"), List.of(
                new AlterConfigOp(new ConfigEntry("consumer.session.timeout.ms", "50000"), set)),
            new ConfigResource(ConfigResource.Type.CLIENT_METRICS, "watch"), List.of(
                new AlterConfigOp(new ConfigEntry("interval.ms", "60000"), set),
                new AlterConfigOp(new ConfigEntry("metrics", "org.apache.kafka.producer."), set))
        )).all().get();
        admin.incrementalAlterConfigs(Map.of(new ConfigResource(ConfigResource.Type.TOPIC, "grown"),
            List.of(new AlterConfigOp(new ConfigEntry("compression.type", ""), AlterConfigOp.OpType.DELETE)))).all().get();
        admin.alterClientQuotas(List.of(
            quota(Map.of("user", "alice"), "producer_byte_rate", 1_000_000.0),
            quota(Map.of("user", "alice", "client-id", "app"), "consumer_byte_rate", 2_000_000.0),
            quota(Collections.singletonMap("client-id", null), "request_percentage", 50.0),
            quota(Map.of("ip", "10.0.0.1"), "connection_creation_rate", 5.0))).all().get();
        admin.alterUserScramCredentials(List.of(
            new UserScramCredentialUpsertion("alice",
                new ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 4096), bytes("alice-secret"), bytes("salt-1")),
            new UserScramCredentialUpsertion("bob",
                new ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 8192), bytes("bob-secret"), bytes("salt-2")))).all().get();
        if (authorizes()) admin.createAcls(List.of(
            acl(ResourceType.TOPIC, "many", PatternType.LITERAL, "User:alice", AclOperation.READ, AclPermissionType.ALLOW),
            acl(ResourceType.TOPIC, "codec-", PatternType.PREFIXED, "User:bob", AclOperation.ALL, AclPermissionType.ALLOW),
            acl(ResourceType.GROUP, "*", PatternType.LITERAL, "User:*", AclOperation.READ, AclPermissionType.DENY),
            acl(ResourceType.CLUSTER, "kafka-cluster", PatternType.LITERAL, "User:alice", AclOperation.DESCRIBE,
                AclPermissionType.ALLOW),
            acl(ResourceType.TOPIC, "empty", PatternType.LITERAL, "User:eve", AclOperation.WRITE, AclPermissionType.ALLOW))).all().get();
        if (authorizes()) admin.deleteAcls(List.of(new AclBindingFilter(
            new ResourcePatternFilter(ResourceType.TOPIC, "empty", PatternType.LITERAL),
            AccessControlEntryFilter.ANY))).all().get();
    }

    static boolean authorizes() throws Exception {
        try {
            admin.describeAcls(AclBindingFilter.ANY).values().get();
            return true;
        } catch (ExecutionException error) {
            if (error.getCause() instanceof SecurityDisabledException) return false;
            throw error;
        }
    }

    static void groups() throws Exception {
        for (String protocol : List.of("classic", "consumer")) {
            String group = protocol.equals("classic") ? "old-group" : "modern-group";
            try (var consumer = new KafkaConsumer<>(Map.<String, Object>of("bootstrap.servers", bootstrap,
                    "group.id", group, "group.protocol", protocol, "auto.offset.reset", "earliest",
                    "enable.auto.commit", "false", "client.id", "client-" + group),
                    new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
                consumer.subscribe(List.of("many"));
                int seen = 0;
                while (seen < 160) seen += consumer.poll(Duration.ofMillis(200)).count();
                consumer.commitSync();
            }
        }
        admin.alterConsumerGroupOffsets("offsets-only", Map.of(
            new TopicPartition("many", 0), new OffsetAndMetadata(3, Optional.of(0), "three"),
            new TopicPartition("many", 1), new OffsetAndMetadata(0),
            new TopicPartition("epochs", 0), new OffsetAndMetadata(17, "with metadata"))).all().get();
        admin.alterConsumerGroupOffsets("deleted-group", Map.of(
            new TopicPartition("many", 0), new OffsetAndMetadata(1))).all().get();
        admin.deleteConsumerGroups(List.of("deleted-group")).all().get();
        try (var producer = transactional("offsets")) {
            for (int round = 0; round < 3; round++) {
                producer.beginTransaction();
                producer.sendOffsetsToTransaction(Map.of(new TopicPartition("many", round),
                    new OffsetAndMetadata(5 + round, "in a transaction")), new ConsumerGroupMetadata("txn-group"));
                if (round == 1) producer.abortTransaction();
                else producer.commitTransaction();
            }
        }
    }

    // ---- what a client sees ----------------------------------------------------------------------------------------

    static void list(File file) throws Exception {
        var mapper = new ObjectMapper();
        var root = mapper.createObjectNode();
        root.put("clusterId", admin.describeCluster().clusterId().get());
        var topics = root.putArray("partitions");
        var names = new TreeSet<>(admin.listTopics(new ListTopicsOptions().listInternal(true)).names().get());
        var described = admin.describeTopics(names).allTopicNames().get();
        for (String topic : names)
            for (var info : described.get(topic).partitions()) {
                var node = topics.addObject();
                node.put("topic", topic).put("partition", info.partition());
                node.put("topicId", described.get(topic).topicId().toString());
                listPartition(node, topic, info.partition());
            }
        listConfigs(root, names);
        listGroups(root);
        mapper.writeValue(file, root);
    }

    static void listPartition(ObjectNode node, String topic, int partition) throws Exception {
        var records = read(topic, partition, "read_uncommitted");
        node.put("start", offset(topic, partition, OffsetSpec.earliest()));
        node.put("end", offset(topic, partition, OffsetSpec.latest()));
        try (var consumer = consumer("read_committed")) {
            var tp = new TopicPartition(topic, partition);
            node.put("lastStable", consumer.endOffsets(List.of(tp)).get(tp));
        }
        var array = node.putArray("records");
        for (var record : records) {
            var one = array.addObject();
            one.put("offset", record.offset()).put("timestamp", record.timestamp());
            one.put("timestampType", record.timestampType().toString());
            one.put("leaderEpoch", record.leaderEpoch().orElse(-1));
            one.put("key", latin1(record.key())).put("value", latin1(record.value()));
            var headers = one.putArray("headers");
            for (Header header : record.headers())
                headers.addArray().add(header.key()).add(latin1(header.value()));
        }
        var committed = node.putArray("committed");
        read(topic, partition, "read_committed").forEach(record -> committed.add(record.offset()));

        var times = node.putArray("offsetsForTimes");
        var stamps = new TreeSet<Long>(List.of(0L, DAY));
        for (int i = 0; i < records.size(); i += Math.max(1, records.size() / 12)) {
            stamps.add(records.get(i).timestamp());
            stamps.add(records.get(i).timestamp() + 1);
        }
        for (long stamp : stamps) timed(times, topic, partition, stamp, OffsetSpec.forTimestamp(stamp));
        timed(times, topic, partition, ListOffsetsResultInfoMax, OffsetSpec.maxTimestamp());

        var producers = node.putArray("producers");
        var tp = new TopicPartition(topic, partition);
        var states = new ArrayList<>(
            admin.describeProducers(List.of(tp)).partitionResult(tp).get().activeProducers());
        states.sort(Comparator.comparingLong(ProducerState::producerId));
        for (var state : states)
            producers.addObject().put("producerId", state.producerId()).put("producerEpoch", state.producerEpoch())
                .put("lastSequence", state.lastSequence()).put("lastTimestamp", state.lastTimestamp())
                .put("coordinatorEpoch", state.coordinatorEpoch().orElse(-1))
                .put("currentTxnStart", state.currentTransactionStartOffset().orElse(-1));
    }

    static final long ListOffsetsResultInfoMax = -3;

    static void timed(ArrayNode into, String topic, int partition, long asked, OffsetSpec spec) throws Exception {
        var tp = new TopicPartition(topic, partition);
        var found = admin.listOffsets(Map.of(tp, spec)).partitionResult(tp).get();
        into.addObject().put("asked", asked).put("offset", found.offset()).put("timestamp", found.timestamp());
    }

    static void listConfigs(ObjectNode root, Set<String> topics) throws Exception {
        var resources = topics.stream().map(t -> new ConfigResource(ConfigResource.Type.TOPIC, t))
            .collect(Collectors.toCollection(ArrayList::new));
        resources.add(new ConfigResource(ConfigResource.Type.BROKER, "1"));
        resources.add(new ConfigResource(ConfigResource.Type.BROKER, ""));
        resources.add(new ConfigResource(ConfigResource.Type.GROUP, "modern-group"));
        resources.add(new ConfigResource(ConfigResource.Type.CLIENT_METRICS, "watch"));
        var all = admin.describeConfigs(resources).all().get();
        var configs = root.putArray("dynamicConfigs");
        for (var resource : resources)
            for (var entry : new TreeMap<>(all.get(resource).entries().stream()
                    .filter(e -> e.source().name().startsWith("DYNAMIC"))
                    .filter(e -> e.source() != ConfigEntry.ConfigSource.DYNAMIC_DEFAULT_BROKER_CONFIG
                        || resource.type() == ConfigResource.Type.BROKER)
                    .collect(Collectors.toMap(ConfigEntry::name, e -> e))).values())
                configs.addObject().put("type", resource.type().name()).put("name", resource.name())
                    .put("key", entry.name()).put("value", entry.value()).put("source", entry.source().name());
        var acls = root.putArray("acls");
        if (authorizes()) admin.describeAcls(AclBindingFilter.ANY).values().get().stream().map(Object::toString).sorted().forEach(acls::add);
        var quotas = root.putArray("quotas");
        admin.describeClientQuotas(ClientQuotaFilter.all()).entities().get().entrySet().stream()
            .map(e -> new TreeMap<>(e.getKey().entries()) + " " + new TreeMap<>(e.getValue())).sorted().forEach(quotas::add);
        var users = root.putArray("scramUsers");
        new TreeMap<>(admin.describeUserScramCredentials().all().get()).values().forEach(u -> users.add(u.toString()));
    }

    static void listGroups(ObjectNode root) throws Exception {
        var groups = root.putArray("groups");
        var listed = new ArrayList<>(admin.listGroups().all().get());
        listed.sort(Comparator.comparing(GroupListing::groupId));
        for (var group : listed) {
            var node = groups.addObject().put("group", group.groupId()).put("protocol", group.protocol());
            node.put("type", group.type().map(Object::toString).orElse(null));
            node.put("state", group.groupState().map(Object::toString).orElse(null));
            var offsets = node.putArray("offsets");
            var committed = new TreeMap<TopicPartition, OffsetAndMetadata>(
                Comparator.comparing(TopicPartition::topic).thenComparing(TopicPartition::partition));
            committed.putAll(admin.listConsumerGroupOffsets(group.groupId()).partitionsToOffsetAndMetadata().get());
            committed.forEach((tp, at) -> offsets.addObject().put("topic", tp.topic()).put("partition", tp.partition())
                .put("offset", at.offset()).put("leaderEpoch", at.leaderEpoch().orElse(-1))
                .put("metadata", at.metadata()));
        }
    }

    // ---- small things ----------------------------------------------------------------------------------------------

    static KafkaProducer<byte[], byte[]> producer(Map<String, String> more) {
        var config = new HashMap<String, Object>(Map.of("bootstrap.servers", bootstrap, "acks", "all"));
        config.putAll(more);
        return new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer());
    }

    static KafkaProducer<byte[], byte[]> transactional(String id) {
        // As long as the broker allows, so that a transaction left open still is when it is looked at.
        var producer = producer(Map.of("transactional.id", id, "transaction.timeout.ms", "900000"));
        producer.initTransactions();
        return producer;
    }

    static KafkaConsumer<byte[], byte[]> consumer(String isolation) {
        return new KafkaConsumer<>(Map.of("bootstrap.servers", bootstrap, "isolation.level", isolation,
            "auto.offset.reset", "earliest", "max.partition.fetch.bytes", "4000000"),
            new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    static List<ConsumerRecord<byte[], byte[]>> read(String topic, int partition, String isolation) {
        var tp = new TopicPartition(topic, partition);
        var records = new ArrayList<ConsumerRecord<byte[], byte[]>>();
        try (var consumer = consumer(isolation)) {
            consumer.assign(List.of(tp));
            consumer.seekToBeginning(List.of(tp));
            long end = consumer.endOffsets(List.of(tp)).get(tp);
            while (consumer.position(tp) < end) records.addAll(consumer.poll(Duration.ofMillis(200)).records(tp));
        }
        return records;
    }

    static long offset(String topic, int partition, OffsetSpec spec) throws Exception {
        var tp = new TopicPartition(topic, partition);
        return admin.listOffsets(Map.of(tp, spec)).partitionResult(tp).get().offset();
    }

    static void create(String topic, int partitions, Map<String, String> configs) throws Exception {
        admin.createTopics(List.of(new NewTopic(topic, partitions, (short) 1).configs(configs))).all().get();
    }

    interface Condition {
        boolean holds() throws Exception;
    }

    static void waitFor(String what, Condition condition) throws Exception {
        for (int i = 0; !condition.holds(); i++) {
            if (i == 40) throw new IllegalStateException("waited in vain for " + what);
            TimeUnit.MILLISECONDS.sleep(500);
        }
    }

    static Map<String, String> with(Map<String, String> base, String... more) {
        var all = new TreeMap<>(base);
        for (int i = 0; i < more.length; i += 2) all.put(more[i], more[i + 1]);
        return all;
    }

    static ClientQuotaAlteration quota(Map<String, String> entity, String key, double value) {
        return new ClientQuotaAlteration(new ClientQuotaEntity(entity),
            List.of(new ClientQuotaAlteration.Op(key, value)));
    }

    static AclBinding acl(ResourceType type, String name, PatternType pattern, String principal,
            AclOperation operation, AclPermissionType permission) {
        return new AclBinding(new ResourcePattern(type, name, pattern),
            new AccessControlEntry(principal, "*", operation, permission));
    }

    static ProducerRecord<byte[], byte[]> record(String topic, int partition, long at, String key, String value) {
        return new ProducerRecord<>(topic, partition, at, bytes(key), bytes(value));
    }

    static String text(int i) {
        return String.format("{\"number\": %d, \"square\": %d, \"of\": \"a river of records\"}", i, (long) i * i);
    }

    static byte[] bytes(String text) {
        return text == null ? null : text.getBytes(StandardCharsets.UTF_8);
    }

    /** One character a byte, so that any bytes fit into JSON and text stays readable. */
    static String latin1(byte[] bytes) {
        return bytes == null ? null : new String(bytes, StandardCharsets.ISO_8859_1);
    }
}
