// The Java client, which Kafka's own applications are made of: producer, consumers of both protocols, transactions,
// admin. Compiles against kafka-clients 3.9 and 4.x.

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.regex.Pattern;
import java.util.stream.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.*;
import org.apache.kafka.common.serialization.*;

public class Clients {
    static final String BOOTSTRAP = System.getenv("BOOTSTRAP");
    static final Admin admin = Admin.create(Map.of("bootstrap.servers", BOOTSTRAP));
    static final AtomicInteger numbers = new AtomicInteger();

    interface Scenario {
        void run() throws Exception;
    }

    static class Skip extends RuntimeException {
        Skip(String why) {
            super(why);
        }
    }

    public static void main(String[] wanted) throws Exception {
        var scenarios = new LinkedHashMap<String, Scenario>();
        scenarios.put("topics_are_created_described_grown_and_deleted", Clients::topics);
        scenarios.put("every_codec_comes_back_as_it_went", Clients::codecs);
        scenarios.put("headers_keep_order_duplicates_and_nulls", Clients::headers);
        scenarios.put("messages_of_ten_megabytes_pass_where_allowed", Clients::big);
        scenarios.put("an_idempotent_producer_keeps_order", Clients::order);
        scenarios.put("transactions_commit_and_abort", Clients::transactions);
        scenarios.put("a_second_producer_fences_the_first", Clients::fencing);
        scenarios.put("offsets_are_committed_within_a_transaction", Clients::transactionalOffsets);
        scenarios.put("transactions_are_listed_described_and_aborted", Clients::hangingTransaction);
        scenarios.put("a_classic_group_rebalances_while_producing", () -> rebalance("classic", "range"));
        scenarios.put("a_cooperative_group_rebalances_while_producing", () -> rebalance("classic", "cooperative"));
        scenarios.put("a_consumer_group_of_kip_848_rebalances_while_producing", () -> rebalance("consumer", "uniform"));
        scenarios.put("a_group_moves_online_to_kip_848", Clients::migration);
        scenarios.put("a_static_member_keeps_its_partitions", Clients::statics);
        scenarios.put("groups_are_listed_described_altered_and_deleted", Clients::groups);
        scenarios.put("subscription_by_pattern_finds_new_topics", Clients::pattern);
        scenarios.put("offsets_are_found_by_time_and_by_name", Clients::times);
        scenarios.put("seek_pause_resume_and_reset", Clients::seek);
        scenarios.put("configs_are_described_and_altered", Clients::configs);
        scenarios.put("records_are_deleted_up_to_an_offset", Clients::deleteRecords);
        scenarios.put("cluster_log_dirs_and_features_are_described", Clients::describe);
        scenarios.put("the_quorum_is_described", () ->
            equal(admin.describeMetadataQuorum().quorumInfo().get().voters().size(), 1));
        scenarios.put("a_restart_in_the_middle_loses_nothing", () -> restart("restart"));
        scenarios.put("a_crash_in_the_middle_loses_nothing", () -> restart("crash"));
        boolean failed = false;
        for (var entry : scenarios.entrySet()) {
            String name = entry.getKey();
            if (wanted.length > 0 && !List.of(wanted).contains(name)) continue;
            long start = System.nanoTime();
            try {
                entry.getValue().run();
                System.out.printf("pass %s %.1fs%n", name, (System.nanoTime() - start) / 1e9);
            } catch (Skip skip) {
                System.out.printf("skip %s: %s%n", name, skip.getMessage());
            } catch (Throwable error) {
                failed = true;
                error.printStackTrace();
                System.out.printf("fail %s: %s%n", name, error.toString().replace('\n', ' '));
            }
        }
        System.out.flush();
        // Without waiting for the threads of clients.
        Runtime.getRuntime().halt(failed ? 1 : 0);
    }

    // ---- scenarios -------------------------------------------------------------------------------------------------

    static void topics() throws Exception {
        String topic = create(3, Map.of("retention.ms", "60000"));
        var described = admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic);
        equal(described.partitions().size(), 3);
        equal(described.partitions().get(0).leader() != null, true);
        var byId = org.apache.kafka.common.TopicCollection.ofTopicIds(List.of(described.topicId()));
        equal(admin.describeTopics(byId).allTopicIds().get().get(described.topicId()).name(), topic);
        fails(TopicExistsException.class, () -> admin.createTopics(List.of(new NewTopic(topic, 1, (short) 1))).all());
        fails(InvalidTopicException.class, () -> admin.createTopics(List.of(new NewTopic("a/b", 1, (short) 1))).all());
        fails(InvalidReplicationFactorException.class, () ->
            admin.createTopics(List.of(new NewTopic(unique("x"), 1, (short) 3))).all());
        fails(InvalidPartitionsException.class, () ->
            admin.createTopics(List.of(new NewTopic(unique("x"), 0, (short) 1))).all());
        fails(InvalidConfigurationException.class, () -> admin.createTopics(List.of(
            new NewTopic(unique("x"), 1, (short) 1).configs(Map.of("retention.ms", "soon")))).all());
        var created = admin.createTopics(List.of(new NewTopic(unique("y"), Optional.empty(), Optional.empty())),
            new CreateTopicsOptions().validateOnly(true));
        equal(created.replicationFactor(created.values().keySet().iterator().next()).get(), 1);
        admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(5))).all().get();
        until("five partitions", () ->
            admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).partitions().size() == 5);
        fails(InvalidPartitionsException.class, () -> admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(2))).all());
        admin.deleteTopics(List.of(topic)).all().get();
        until("the topic to be gone", () -> !admin.listTopics().names().get().contains(topic));
        fails(UnknownTopicOrPartitionException.class, () -> admin.deleteTopics(List.of(topic)).all());
    }

    static void codecs() throws Exception {
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            String topic = create(1, Map.of());
            produce(topic, 2000, 1, Map.of("compression.type", codec));
            equal(values(read(topic, Map.of())), range(2000));
        }
        String recompressed = create(1, Map.of("compression.type", "zstd"));
        produce(recompressed, 500, 1, Map.of("compression.type", "gzip"));
        equal(values(read(recompressed, Map.of())), range(500));
    }

    static void headers() throws Exception {
        String topic = create(1, Map.of());
        try (var producer = producer(Map.of())) {
            var record = new ProducerRecord<>(topic, 0, 1234567890123L, bytes("k"), bytes("v"));
            record.headers().add("h", bytes("1")).add("h", bytes("2")).add("h", bytes("1")).add("null", null).add("", new byte[0]);
            var metadata = producer.send(record).get();
            equal(metadata.offset(), 0L);
            equal(metadata.timestamp(), 1234567890123L);
            producer.send(new ProducerRecord<>(topic, 0, 5L, (byte[]) null, (byte[]) null)).get();
        }
        var found = read(topic, Map.of());
        var names = new ArrayList<String>();
        for (var header : found.get(0).headers())
            names.add(header.key() + "=" + (header.value() == null ? "null" : new String(header.value())));
        equal(names, List.of("h=1", "h=2", "h=1", "null=null", "="));
        equal(Arrays.asList(found.get(1).key(), found.get(1).value()), Arrays.asList(null, null));
        equal(found.get(1).timestamp(), 5L);
        equal(found.get(0).leaderEpoch().isPresent(), true);
    }

    static void big() throws Exception {
        String topic = create(1, Map.of("max.message.bytes", "12000000")), small = create(1, Map.of());
        byte[] value = new byte[10_000_000];
        new Random(1).nextBytes(value);
        try (var producer = producer(Map.of("max.request.size", "15000000", "buffer.memory", "60000000"))) {
            producer.send(new ProducerRecord<>(topic, value)).get();
            producer.send(new ProducerRecord<>(topic, value)).get();
            failsWith(RecordTooLargeException.class, () -> producer.send(new ProducerRecord<>(small, value)).get());
        }
        // The fetch limits stay at their defaults of 1 and 50 MiB: the first batch comes whole whatever its size.
        var found = read(topic, Map.of());
        equal(found.size(), 2);
        equal(Arrays.equals(found.get(1).value(), value), true);
    }

    static void order() throws Exception {
        String topic = create(3, Map.of());
        produce(topic, 30_000, 3, Map.of("linger.ms", "1", "batch.size", "2000"));
        int[] next = {0, 1, 2};
        for (var record : read(topic, Map.of())) {
            equal(number(record), next[record.partition()]);
            next[record.partition()] += 3;
        }
        equal(next[0] + next[1] + next[2], 90_003);
        // The epoch of a new producer starts over, and the topic takes both.
        produce(topic, 300, 3, Map.of());
        equal(read(topic, Map.of()).size(), 30_300);
    }

    static void transactions() throws Exception {
        String topic = create(2, Map.of());
        try (var producer = producer(Map.of("transactional.id", unique("txn")))) {
            producer.initTransactions();
            for (int round = 0; round < 6; round++) {
                producer.beginTransaction();
                for (int i = 0; i < 20; i++)
                    producer.send(new ProducerRecord<>(topic, i % 2, null, bytes("" + (round * 20 + i))));
                if (round % 2 == 0) producer.commitTransaction();
                else {
                    producer.flush();
                    producer.abortTransaction();
                }
            }
            equal(read(topic, Map.of()).size(), 120);
            var committed = values(read(topic, Map.of("isolation.level", "read_committed")));
            equal(committed.stream().map(i -> i / 20).collect(Collectors.toSet()), Set.of(0, 2, 4));
            equal(committed.size(), 60);
            // An open transaction holds the last stable offset back.
            producer.beginTransaction();
            producer.send(new ProducerRecord<>(topic, 0, null, bytes("999"))).get();
            produce(topic, 2, 2, Map.of());
            equal(read(topic, Map.of("isolation.level", "read_committed")).size(), 61);
            producer.commitTransaction();
            until("all of it", () -> read(topic, Map.of("isolation.level", "read_committed")).size() == 63);
        }
    }

    static void fencing() throws Exception {
        String topic = create(1, Map.of()), id = unique("txn");
        try (var first = producer(Map.of("transactional.id", id)); var second = producer(Map.of("transactional.id", id))) {
            first.initTransactions();
            first.beginTransaction();
            first.send(new ProducerRecord<>(topic, bytes("1"))).get();
            second.initTransactions();
            second.beginTransaction();
            second.send(new ProducerRecord<>(topic, bytes("2"))).get();
            failsWith(ProducerFencedException.class, first::commitTransaction);
            second.commitTransaction();
        }
        equal(values(read(topic, Map.of("isolation.level", "read_committed"))), List.of(2));
    }

    static void transactionalOffsets() throws Exception {
        String source = create(1, Map.of()), target = create(1, Map.of()), group = unique("eos");
        produce(source, 100, 1, Map.of());
        var partition = new TopicPartition(source, 0);
        for (boolean commit : List.of(false, true))
            try (var consumer = consumer(Map.of("group.id", group, "isolation.level", "read_committed"));
                    var producer = producer(Map.of("transactional.id", group))) {
                producer.initTransactions();
                consumer.subscribe(List.of(source));
                int seen = 0;
                producer.beginTransaction();
                while (seen < 100)
                    for (var record : consumer.poll(Duration.ofMillis(100))) {
                        producer.send(new ProducerRecord<>(target, record.value()));
                        seen++;
                    }
                producer.sendOffsetsToTransaction(Map.of(partition, new OffsetAndMetadata(100)), consumer.groupMetadata());
                if (commit) producer.commitTransaction();
                else producer.abortTransaction();
                var committed = consumer.committed(Set.of(partition)).get(partition);
                equal(committed == null ? -1L : committed.offset(), commit ? 100L : -1L);
            }
        equal(values(read(target, Map.of("isolation.level", "read_committed"))), range(100));
    }

    static void hangingTransaction() throws Exception {
        String topic = create(1, Map.of()), id = unique("txn");
        var partition = new TopicPartition(topic, 0);
        var producer = producer(Map.of("transactional.id", id));
        producer.initTransactions();
        producer.beginTransaction();
        producer.send(new ProducerRecord<>(topic, bytes("1"))).get();
        var listing = admin.listTransactions().all().get().stream().filter(t -> t.transactionalId().equals(id)).findFirst();
        equal(listing.get().state(), TransactionState.ONGOING);
        var described = admin.describeTransactions(List.of(id)).description(id).get();
        equal(described.topicPartitions(), Set.of(partition));
        var state = admin.describeProducers(List.of(partition)).partitionResult(partition).get().activeProducers().get(0);
        equal(state.currentTransactionStartOffset().getAsLong(), 0L);
        equal(state.producerId(), listing.get().producerId());
        admin.abortTransaction(new AbortTransactionSpec(partition, state.producerId(), (short) state.producerEpoch(),
            Math.max(0, state.coordinatorEpoch().orElse(0)))).all().get();
        equal(read(topic, Map.of("isolation.level", "read_committed")).size(), 0);
        var tp = admin.describeProducers(List.of(partition)).partitionResult(partition).get().activeProducers().get(0);
        equal(tp.currentTransactionStartOffset().isPresent(), false);
        admin.fenceProducers(List.of(id)).all().get();
        failsWith(Exception.class, () -> {
            producer.send(new ProducerRecord<>(topic, bytes("2"))).get();
            producer.commitTransaction();
        });
        producer.close(Duration.ZERO);
    }

    static class Member extends Thread {
        final KafkaConsumer<byte[], byte[]> consumer;
        final Set<Integer> seen;
        volatile Set<TopicPartition> assigned = Set.of();
        volatile boolean leaving;
        volatile Throwable failure;

        Member(String topic, Set<Integer> seen, Map<String, String> config) {
            this.seen = seen;
            consumer = consumer(config);
            consumer.subscribe(List.of(topic));
            setDaemon(true);
            start();
        }

        @Override
        public void run() {
            try (consumer) {
                while (!leaving) {
                    for (var record : consumer.poll(Duration.ofMillis(50))) seen.add(number(record));
                    assigned = consumer.assignment();
                    try {
                        consumer.commitSync();
                    } catch (RebalanceInProgressException | CommitFailedException betweenTwo) {
                        // What was read comes again, here or at another member.
                    }
                }
            } catch (Throwable error) {
                failure = error;
            }
            assigned = Set.of();
        }

        void leave() throws Exception {
            leaving = true;
            join();
            if (failure != null) throw new AssertionError(failure);
        }
    }

    static boolean spread(int partitions, Member... members) {
        var all = new HashSet<TopicPartition>();
        int sum = 0;
        for (var member : members) {
            if (member.failure != null) throw new AssertionError(member.failure);
            var assigned = member.assigned;
            if (assigned.isEmpty()) return false;
            all.addAll(assigned);
            sum += assigned.size();
        }
        return sum == partitions && all.size() == partitions;
    }

    static Map<String, String> memberConfig(String group, String protocol, String assignor) {
        var config = new HashMap<>(Map.of("group.id", group, "group.protocol", protocol, "auto.offset.reset", "earliest"));
        if (protocol.equals("classic")) {
            config.put("heartbeat.interval.ms", "200");
            config.put("partition.assignment.strategy", "org.apache.kafka.clients.consumer."
                + (assignor.equals("range") ? "RangeAssignor" : "CooperativeStickyAssignor"));
        } else config.put("group.remote.assignor", assignor);
        return config;
    }

    /** In kafka-clients 3.9 the new protocol is a preview, which now and then skips records in a rebalance. */
    static void needsModernClient() {
        if (System.getProperty("jars").startsWith("clients-3.")) throw new Skip("a preview in this client");
    }

    static void rebalance(String protocol, String assignor) throws Exception {
        if (protocol.equals("consumer")) needsModernClient();
        String topic = create(6, Map.of()), group = unique("group");
        Set<Integer> seen = ConcurrentHashMap.newKeySet();
        var config = memberConfig(group, protocol, assignor);
        try (var producer = producer(Map.of())) {
            var a = new Member(topic, seen, config);
            send(producer, topic, 0, 1000);
            var b = new Member(topic, seen, config);
            send(producer, topic, 1000, 2000);
            until("two members", () -> spread(6, a, b));
            var c = new Member(topic, seen, config);
            send(producer, topic, 2000, 3000);
            until("three members", () -> spread(6, a, b, c));
            var described = admin.describeConsumerGroups(List.of(group)).all().get().get(group);
            equal(described.members().size(), 3);
            equal(described.type().toString(), protocol.equals("classic") ? "Classic" : "Consumer");
            a.leave();
            until("two members again", () -> spread(6, b, c));
            send(producer, topic, 3000, 4000);
            until("all records", () -> seen.size() == 4000);
            b.leave();
            c.leave();
            var offsets = admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
            equal(offsets.values().stream().mapToLong(OffsetAndMetadata::offset).sum(), 4000L);
        }
    }

    static void migration() throws Exception {
        needsModernClient();
        String topic = create(6, Map.of()), group = unique("moving");
        Set<Integer> seen = ConcurrentHashMap.newKeySet();
        try (var producer = producer(Map.of())) {
            var old = new Member(topic, seen, memberConfig(group, "classic", "cooperative"));
            send(producer, topic, 0, 300);
            until("one member", () -> spread(6, old));
            var modern = new Member(topic, seen, memberConfig(group, "consumer", "uniform"));
            until("both members", () -> spread(6, old, modern));
            equal(admin.describeConsumerGroups(List.of(group)).all().get().get(group).type().toString(), "Consumer");
            send(producer, topic, 300, 600);
            old.leave();
            until("the modern one", () -> spread(6, modern));
            send(producer, topic, 600, 900);
            until("all records", () -> seen.size() == 900);
            modern.leave();
        }
    }

    static void statics() throws Exception {
        String topic = create(4, Map.of()), group = unique("static");
        Set<Integer> seen = ConcurrentHashMap.newKeySet();
        var config = memberConfig(group, "classic", "range");
        config.put("group.instance.id", "one");
        var one = new Member(topic, seen, config);
        config = new HashMap<>(config);
        config.put("group.instance.id", "two");
        var two = new Member(topic, seen, config);
        until("two members", () -> spread(4, one, two));
        var before = two.assigned;
        two.leave();
        equal(admin.describeConsumerGroups(List.of(group)).all().get().get(group).members().size(), 2);
        var again = new Member(topic, seen, config);
        until("its place", () -> spread(4, one, again));
        equal(again.assigned, before);
        again.leave();
        admin.removeMembersFromConsumerGroup(group,
            new RemoveMembersFromConsumerGroupOptions(List.of(new MemberToRemove("two")))).all().get();
        until("all for one", () -> one.assigned.size() == 4);
        one.leave();
    }

    static void groups() throws Exception {
        String topic = create(2, Map.of()), group = unique("group");
        produce(topic, 20, 2, Map.of());
        try (var consumer = consumer(Map.of("group.id", group))) {
            consumer.subscribe(List.of(topic));
            int seen = 0;
            while (seen < 20) seen += consumer.poll(Duration.ofMillis(100)).count();
            consumer.commitSync(Map.of(new TopicPartition(topic, 0), new OffsetAndMetadata(4, Optional.of(0), "four"),
                new TopicPartition(topic, 1), new OffsetAndMetadata(10)));
            fails(GroupNotEmptyException.class, () -> admin.deleteConsumerGroups(List.of(group)).all());
            fails(Exception.class, () ->
                admin.deleteConsumerGroupOffsets(group, Set.of(new TopicPartition(topic, 0))).all());
        }
        until("the group to be listed as empty", () -> admin.listConsumerGroups().all().get().stream()
            .anyMatch(g -> g.groupId().equals(group) && g.toString().contains("Empty")));
        var zero = new TopicPartition(topic, 0);
        var found = admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get().get(zero);
        equal(found, new OffsetAndMetadata(4, Optional.of(0), "four"));
        admin.alterConsumerGroupOffsets(group, Map.of(zero, new OffsetAndMetadata(7))).all().get();
        admin.deleteConsumerGroupOffsets(group, Set.of(new TopicPartition(topic, 1))).all().get();
        equal(admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get().keySet(), Set.of(zero));
        try (var consumer = consumer(Map.of("group.id", group))) {
            consumer.assign(List.of(zero));
            equal(consumer.position(zero), 7L);
        }
        admin.deleteConsumerGroups(List.of(group)).all().get();
        fails(GroupIdNotFoundException.class, () -> admin.deleteConsumerGroups(List.of(group)).all());
    }

    static void pattern() throws Exception {
        String word = unique("pattern");
        admin.createTopics(List.of(new NewTopic(word + ".one", 1, (short) 1))).all().get();
        for (String protocol : List.of("classic", "consumer"))
            try (var consumer = consumer(Map.of("group.id", unique("g"), "group.protocol", protocol, "metadata.max.age.ms", "300"))) {
                consumer.subscribe(Pattern.compile(word + "\\..*"));
                until("the first", () -> consumer.poll(Duration.ofMillis(100)) != null && consumer.assignment().size() >= 1);
                if (protocol.equals("classic"))
                    admin.createTopics(List.of(new NewTopic(word + ".two", 1, (short) 1))).all().get();
                until("the second", () -> consumer.poll(Duration.ofMillis(100)) != null && consumer.assignment().size() == 2);
            }
    }

    static void times() throws Exception {
        String topic = create(1, Map.of());
        var partition = new TopicPartition(topic, 0);
        try (var producer = producer(Map.of("batch.size", "300"))) {
            for (int i = 0; i < 100; i++)
                producer.send(new ProducerRecord<>(topic, 0, 1_000_000L + i * 10, null, bytes("" + i)));
        }
        try (var consumer = consumer(Map.of())) {
            for (long at : new long[] {0, 1_000_001, 1_000_500, 1_000_990}) {
                long offset = Math.max(0, (at - 1_000_000 + 9) / 10);
                var found = consumer.offsetsForTimes(Map.of(partition, at)).get(partition);
                equal(List.of(found.offset(), found.timestamp()), List.of(offset, 1_000_000 + offset * 10));
            }
            equal(consumer.offsetsForTimes(Map.of(partition, 2_000_000L)).get(partition), null);
            equal(consumer.beginningOffsets(Set.of(partition)).get(partition), 0L);
            equal(consumer.endOffsets(Set.of(partition)).get(partition), 100L);
        }
        var specs = Map.of(OffsetSpec.earliest(), 0L, OffsetSpec.latest(), 100L, OffsetSpec.maxTimestamp(), 99L,
            OffsetSpec.forTimestamp(1_000_015), 2L, OffsetSpec.earliestLocal(), 0L, OffsetSpec.latestTiered(), -1L);
        for (var spec : specs.entrySet())
            equal(admin.listOffsets(Map.of(partition, spec.getKey())).partitionResult(partition).get().offset(), spec.getValue());
    }

    static void seek() throws Exception {
        String topic = create(2, Map.of());
        produce(topic, 200, 2, Map.of());
        TopicPartition zero = new TopicPartition(topic, 0), one = new TopicPartition(topic, 1);
        try (var consumer = consumer(Map.of("auto.offset.reset", "latest", "group.id", unique("g")))) {
            consumer.assign(List.of(zero, one));
            consumer.seek(zero, 90);
            consumer.seekToEnd(List.of(one));
            var first = poll(consumer);
            equal(List.of(first.get(0).partition(), number(first.get(0))), List.of(0, 180));
            consumer.pause(List.of(zero));
            consumer.seek(one, 99);
            equal(poll(consumer).get(0).partition(), 1);
            consumer.resume(List.of(zero));
            consumer.seekToBeginning(List.of(zero));
            equal(poll(consumer).get(0).offset(), 0L);
            consumer.seek(zero, 5000);
            until("the reset to the end", () -> {
                consumer.poll(Duration.ofMillis(50));
                return consumer.position(zero) == 100;
            });
        }
        try (var consumer = consumer(Map.of("auto.offset.reset", "none"))) {
            consumer.assign(List.of(zero));
            consumer.seek(zero, 5000);
            failsWith(org.apache.kafka.clients.consumer.OffsetOutOfRangeException.class, () -> {
                for (int i = 0; i < 100; i++) consumer.poll(Duration.ofMillis(100));
            });
        }
    }

    static void configs() throws Exception {
        String topic = create(1, Map.of("retention.ms", "60000"));
        var resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        var entry = describeConfig(resource, "retention.ms");
        equal(List.of(entry.value(), entry.source()), List.of("60000", ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG));
        equal(entry.type(), ConfigEntry.ConfigType.LONG);
        equal(entry.documentation() != null && !entry.documentation().isEmpty(), true);
        equal(describeConfig(resource, "max.message.bytes").synonyms().stream().map(ConfigEntry.ConfigSynonym::name).toList(),
            List.of("message.max.bytes"));
        admin.incrementalAlterConfigs(Map.of(resource, List.of(
            new AlterConfigOp(new ConfigEntry("max.message.bytes", "2000"), AlterConfigOp.OpType.SET),
            new AlterConfigOp(new ConfigEntry("retention.ms", ""), AlterConfigOp.OpType.DELETE),
            new AlterConfigOp(new ConfigEntry("cleanup.policy", "compact"), AlterConfigOp.OpType.APPEND)))).all().get();
        until("the change", () -> describeConfig(resource, "max.message.bytes").value().equals("2000"));
        equal(describeConfig(resource, "retention.ms").source(), ConfigEntry.ConfigSource.DEFAULT_CONFIG);
        equal(Set.of(describeConfig(resource, "cleanup.policy").value().split(",")), Set.of("delete", "compact"));
        fails(InvalidConfigurationException.class, () -> admin.incrementalAlterConfigs(Map.of(resource, List.of(
            new AlterConfigOp(new ConfigEntry("segment.ms", "-3"), AlterConfigOp.OpType.SET)))).all());
        int node = admin.describeCluster().nodes().get().iterator().next().id();
        var broker = new ConfigResource(ConfigResource.Type.BROKER, "" + node);
        equal(describeConfig(broker, "log.retention.hours").value(), "168");
        admin.incrementalAlterConfigs(Map.of(new ConfigResource(ConfigResource.Type.BROKER, ""), List.of(
            new AlterConfigOp(new ConfigEntry("log.retention.ms", "123456789"), AlterConfigOp.OpType.SET)))).all().get();
        until("the dynamic default", () -> "123456789".equals(describeConfig(broker, "log.retention.ms").value())
            && "123456789".equals(describeConfig(resource, "retention.ms").value()));
        admin.incrementalAlterConfigs(Map.of(new ConfigResource(ConfigResource.Type.BROKER, ""), List.of(
            new AlterConfigOp(new ConfigEntry("log.retention.ms", ""), AlterConfigOp.OpType.DELETE)))).all().get();
        until("the static default", () -> describeConfig(resource, "retention.ms").value().equals("604800000"));
    }

    static void deleteRecords() throws Exception {
        String topic = create(2, Map.of());
        produce(topic, 200, 2, Map.of());
        TopicPartition zero = new TopicPartition(topic, 0), one = new TopicPartition(topic, 1);
        var deleted = admin.deleteRecords(Map.of(zero, RecordsToDelete.beforeOffset(40), one, RecordsToDelete.beforeOffset(-1)));
        equal(deleted.lowWatermarks().get(zero).get().lowWatermark(), 40L);
        equal(deleted.lowWatermarks().get(one).get().lowWatermark(), 100L);
        fails(org.apache.kafka.common.errors.OffsetOutOfRangeException.class, () ->
            admin.deleteRecords(Map.of(zero, RecordsToDelete.beforeOffset(1000))).all());
        equal(read(topic, Map.of()).size(), 60);
    }

    static void describe() throws Exception {
        String topic = create(1, Map.of());
        produce(topic, 100, 1, Map.of());
        var cluster = admin.describeCluster();
        equal(cluster.clusterId().get().isEmpty(), false);
        int node = cluster.nodes().get().iterator().next().id();
        var dirs = admin.describeLogDirs(List.of(node)).allDescriptions().get().get(node).values().iterator().next();
        equal(dirs.replicaInfos().get(new TopicPartition(topic, 0)).size() > 500, true);
        equal(dirs.totalBytes().isPresent(), true);
        var features = admin.describeFeatures().featureMetadata().get().finalizedFeatures();
        equal(features.get("transaction.version").maxVersionLevel(), (short) 2);
        equal(features.get("group.version").maxVersionLevel() >= 1, true);
        equal(features.containsKey("metadata.version"), true);
    }

    static void restart(String how) throws Exception {
        String topic = create(3, Map.of());
        int total = 6000;
        var seen = ConcurrentHashMap.<Integer>newKeySet();
        var member = new Member(topic, seen, memberConfig(unique("group"), "classic", "range"));
        try (var producer = producer(Map.of("delivery.timeout.ms", "120000"))) {
            var sent = new ArrayList<Future<RecordMetadata>>();
            var thread = new Thread(() -> {
                for (int i = 0; i < total; i++) {
                    sent.add(producer.send(new ProducerRecord<>(topic, i % 3, null, bytes("" + i))));
                    if (i % 5 == 0) sleep(1);
                }
            });
            thread.start();
            sleep(400);
            control(how);
            thread.join();
            for (var future : sent) future.get(2, TimeUnit.MINUTES);
        }
        equal(values(read(topic, Map.of())).stream().sorted().toList(), range(total));
        until("the member to have all", () -> seen.size() == total);
        member.leave();
    }

    // ---- small things ----------------------------------------------------------------------------------------------

    interface Call<T> {
        T call() throws Exception;
    }

    static void control(String what) throws Exception {
        String address = System.getenv("CONTROL");
        if (address == null) throw new Skip("the broker is not ours to restart");
        int colon = address.lastIndexOf(':');
        try (var socket = new Socket(address.substring(0, colon), Integer.parseInt(address.substring(colon + 1)))) {
            socket.getOutputStream().write(bytes(what + "\n"));
            equal(new BufferedReader(new InputStreamReader(socket.getInputStream())).readLine(), "ok");
        }
    }

    static KafkaProducer<byte[], byte[]> producer(Map<String, String> more) {
        var config = new HashMap<String, Object>(Map.of("bootstrap.servers", BOOTSTRAP, "acks", "all"));
        config.putAll(more);
        return new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer());
    }

    static KafkaConsumer<byte[], byte[]> consumer(Map<String, String> more) {
        var config = new HashMap<String, Object>(Map.of("bootstrap.servers", BOOTSTRAP, "auto.offset.reset", "earliest",
            "enable.auto.commit", "false", "fetch.max.wait.ms", "100"));
        config.putAll(more);
        return new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    static String create(int partitions, Map<String, String> configs) throws Exception {
        String topic = unique("java");
        admin.createTopics(List.of(new NewTopic(topic, partitions, (short) 1).configs(configs))).all().get();
        // The answer to CreateTopics comes before the partitions take records, and an idempotent producer whose first
        // batch is refused for that can get its later ones stuck.
        var specs = IntStream.range(0, partitions).boxed()
            .collect(Collectors.toMap(p -> new TopicPartition(topic, p), p -> OffsetSpec.latest()));
        until("the topic", () -> {
            try {
                return admin.listOffsets(specs).all().get() != null;
            } catch (ExecutionException notYet) {
                return false;
            }
        });
        return topic;
    }

    static void produce(String topic, int count, int partitions, Map<String, String> config) throws Exception {
        try (var producer = producer(config)) {
            var sent = new ArrayList<Future<RecordMetadata>>();
            for (int i = 0; i < count; i++)
                sent.add(producer.send(new ProducerRecord<>(topic, i % partitions, null, bytes("" + i))));
            for (var future : sent) future.get();
        }
    }

    static void send(KafkaProducer<byte[], byte[]> producer, String topic, int from, int to) {
        for (int i = from; i < to; i++) producer.send(new ProducerRecord<>(topic, i % 6, null, bytes("" + i)));
        producer.flush();
    }

    static List<ConsumerRecord<byte[], byte[]>> read(String topic, Map<String, String> config) {
        var records = new ArrayList<ConsumerRecord<byte[], byte[]>>();
        try (var consumer = consumer(config)) {
            var partitions = consumer.partitionsFor(topic).stream().map(p -> new TopicPartition(topic, p.partition())).toList();
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            var ends = consumer.endOffsets(partitions);
            long deadline = System.nanoTime() + 60_000_000_000L;
            while (partitions.stream().anyMatch(p -> consumer.position(p) < ends.get(p))) {
                equal(System.nanoTime() < deadline, true);
                consumer.poll(Duration.ofMillis(100)).forEach(records::add);
            }
        }
        return records;
    }

    static List<ConsumerRecord<byte[], byte[]>> poll(KafkaConsumer<byte[], byte[]> consumer) throws Exception {
        var records = new ArrayList<ConsumerRecord<byte[], byte[]>>();
        until("records", () -> {
            consumer.poll(Duration.ofMillis(100)).forEach(records::add);
            return !records.isEmpty();
        });
        return records;
    }

    static ConfigEntry describeConfig(ConfigResource resource, String key) throws Exception {
        var options = new DescribeConfigsOptions().includeSynonyms(true).includeDocumentation(true);
        return admin.describeConfigs(List.of(resource), options).all().get().get(resource).get(key);
    }

    static int number(ConsumerRecord<byte[], byte[]> record) {
        return Integer.parseInt(new String(record.value(), StandardCharsets.UTF_8));
    }

    static List<Integer> values(List<ConsumerRecord<byte[], byte[]>> records) {
        return records.stream().map(Clients::number).toList();
    }

    static List<Integer> range(int end) {
        return IntStream.range(0, end).boxed().toList();
    }

    static String unique(String word) {
        return word + "-" + ProcessHandle.current().pid() + "-" + numbers.incrementAndGet();
    }

    static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    static void sleep(long millis) {
        try {
            Thread.sleep(millis);
        } catch (InterruptedException never) {
            throw new IllegalStateException(never);
        }
    }

    static void until(String what, Call<Boolean> condition) throws Exception {
        long deadline = System.nanoTime() + 60_000_000_000L;
        while (!condition.call()) {
            if (System.nanoTime() > deadline) throw new AssertionError("waited in vain for " + what);
            sleep(50);
        }
    }

    static void equal(Object found, Object expected) {
        if (!Objects.equals(found, expected))
            throw new AssertionError("expected " + shortened(expected) + ", found " + shortened(found));
    }

    static String shortened(Object value) {
        String text = String.valueOf(value);
        return text.length() > 300 ? text.substring(0, 300) + "…" : text;
    }

    static void fails(Class<? extends Throwable> kind, Call<KafkaFuture<?>> call) throws Exception {
        failsWith(kind, () -> call.call().get());
    }

    static void failsWith(Class<? extends Throwable> kind, Scenario call) {
        try {
            call.run();
        } catch (Throwable error) {
            var cause = error instanceof ExecutionException ? error.getCause() : error;
            if (kind.isInstance(cause)) return;
            throw new AssertionError("expected " + kind.getSimpleName() + ", found " + cause, cause);
        }
        throw new AssertionError("no " + kind.getSimpleName());
    }
}
