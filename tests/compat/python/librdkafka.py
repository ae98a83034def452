"""librdkafka through confluent-kafka: the client of most languages but Java and Go."""

import threading
import time

import confluent_kafka
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, IsolationLevel, KafkaError, KafkaException
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from scenario import BOOTSTRAP, control, equal, run, scenario, unique, until

admin = AdminClient({"bootstrap.servers": BOOTSTRAP})


def create(partitions=1, **config):
    topic = unique("rd")
    config = {key.replace("_", "."): value for key, value in config.items()}
    done(admin.create_topics([NewTopic(topic, partitions, 1, config=config)]))
    return topic


def done(futures):
    return {key: future.result(60) for key, future in futures.items()}


def error_of(future):
    """The error code with which a future fails."""
    try:
        future.result(60)
    except KafkaException as error:
        return error.args[0].code()
    raise AssertionError("no error")


def producer(**config):
    settings = {"bootstrap.servers": BOOTSTRAP, "acks": "all", "linger.ms": 5}
    settings.update({key.replace("_", "."): value for key, value in config.items()})
    return Producer(settings)


def consumer(group=None, **config):
    settings = {
        "bootstrap.servers": BOOTSTRAP,
        "group.id": group or unique("group"),
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "fetch.wait.max.ms": 100,
    }
    settings.update({key.replace("_", "."): value for key, value in config.items()})
    return Consumer(settings)


def produce(topic, messages, **config):
    """Produces (partition, key, value) and gives the offsets, once all are acknowledged."""
    offsets, failures = [], []

    def report(error, message):
        failures.append(error) if error else offsets.append((message.partition(), message.offset()))

    client = producer(**config)
    for partition, key, value in messages:
        while True:
            try:
                client.produce(topic, value, key, partition, on_delivery=report)
                break
            except BufferError:
                client.poll(0.1)
    equal(client.flush(60), 0)
    equal(failures, [])
    return offsets


def read(topic, partitions=1, isolation="read_uncommitted", **config):
    """All messages of a topic, up to the end of each partition."""
    client = consumer(enable_partition_eof=True, isolation_level=isolation, **config)
    client.assign([TopicPartition(topic, partition, 0) for partition in range(partitions)])
    messages, ended = [], set()
    deadline = time.monotonic() + 60
    while len(ended) < partitions:
        assert time.monotonic() < deadline, f"no end after {len(messages)} messages"
        message = client.poll(1)
        if message is None:
            continue
        if message.error():
            equal(message.error().code(), KafkaError._PARTITION_EOF)
            ended.add(message.partition())
        else:
            messages.append(message)
    client.close()
    return messages


@scenario
def topics_are_created_described_grown_and_deleted():
    topic = create(3, retention_ms="60000")
    metadata = until("the topic", lambda: admin.list_topics(timeout=10).topics.get(topic))
    equal(sorted(metadata.partitions), [0, 1, 2])
    described = done(admin.describe_topics(confluent_kafka.TopicCollection([topic])))[topic]
    equal(len(described.partitions), 3)
    assert described.partitions[0].leader is not None
    equal(error_of(admin.create_topics([NewTopic(topic, 1, 1)])[topic]), KafkaError.TOPIC_ALREADY_EXISTS)
    equal(error_of(admin.create_topics([NewTopic("a/b", 1, 1)])["a/b"]), KafkaError.TOPIC_EXCEPTION)
    wide = unique("wide")
    equal(error_of(admin.create_topics([NewTopic(wide, 1, 3)])[wide]), KafkaError.INVALID_REPLICATION_FACTOR)
    equal(error_of(admin.create_topics([NewTopic(wide, 0, 1)])[wide]), KafkaError.INVALID_PARTITIONS)
    bad = NewTopic(wide, 1, 1, config={"retention.ms": "soon"})
    equal(error_of(admin.create_topics([bad])[wide]), KafkaError.INVALID_CONFIG)
    done(admin.create_topics([NewTopic(wide, 2, 1)], validate_only=True))
    assert wide not in admin.list_topics(timeout=10).topics
    done(admin.create_partitions([NewPartitions(topic, 5)]))
    until("five partitions", lambda: len(admin.list_topics(timeout=10).topics[topic].partitions) == 5)
    equal(error_of(admin.create_partitions([NewPartitions(topic, 2)])[topic]), KafkaError.INVALID_PARTITIONS)
    done(admin.delete_topics([topic]))
    until("the topic to be gone", lambda: topic not in admin.list_topics(timeout=10).topics)
    equal(error_of(admin.delete_topics([topic])[topic]), KafkaError.UNKNOWN_TOPIC_OR_PART)


@scenario
def assignments_of_replicas_are_taken():
    topic = unique("assigned")
    node = next(iter(admin.list_topics(timeout=10).brokers))
    done(admin.create_topics([NewTopic(topic, num_partitions=2, replica_assignment=[[node], [node]])]))
    until("the topic", lambda: topic in admin.list_topics(timeout=10).topics)
    described = done(admin.describe_topics(confluent_kafka.TopicCollection([topic])))[topic]
    equal([[replica.id for replica in p.replicas] for p in described.partitions], [[node], [node]])


@scenario
def every_codec_comes_back_as_it_went():
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"]:
        topic = create()
        sent = [(0, b"k%d" % i, b"value %d " % i * (i % 50)) for i in range(2000)]
        produce(topic, sent, compression_type=codec)
        equal([(0, m.key(), m.value() or b"") for m in read(topic)], sent)


@scenario
def codec_of_the_topic_wins():
    topic = create(compression_type="zstd")
    sent = [(0, None, b"x" * 1000)] * 500
    produce(topic, sent, compression_type="gzip")
    equal(len(read(topic)), 500)


@scenario
def headers_keep_order_duplicates_and_nulls():
    topic = create()
    headers = [("h", b"1"), ("h", b"2"), ("h", b"1"), ("null", None), ("empty", b""), ("bytes", bytes(range(256)))]
    client = producer()
    client.produce(topic, b"v", b"k", headers=headers, timestamp=1234567890123)
    client.produce(topic, None, None)
    client.produce(topic, b"", b"")
    equal(client.flush(60), 0)
    first, second, third = read(topic)
    equal(first.headers(), headers)
    equal(first.timestamp(), (confluent_kafka.TIMESTAMP_CREATE_TIME, 1234567890123))
    equal((second.key(), second.value()), (None, None))
    equal((third.key(), third.value()), (b"", b""))


@scenario
def the_brokers_time_is_stamped_where_asked():
    topic = create(message_timestamp_type="LogAppendTime")
    before = int(time.time() * 1000)
    client = producer(compression_type="lz4")
    for i in range(100):
        client.produce(topic, b"v%d" % i, timestamp=1000)
    client.flush(60)
    for message in read(topic):
        kind, at = message.timestamp()
        equal(kind, confluent_kafka.TIMESTAMP_LOG_APPEND_TIME)
        assert before - 1000 <= at <= time.time() * 1000 + 1000


@scenario
def messages_of_ten_megabytes_pass_where_allowed():
    topic = create(max_message_bytes="12000000")
    big = bytes(range(256)) * 40_000
    produce(topic, [(0, b"big", big)] * 3, message_max_bytes=15_000_000)
    found = read(topic, fetch_message_max_bytes=15_000_000, message_max_bytes=15_000_000, fetch_max_bytes=50_000_000)
    equal([m.value() == big for m in found], [True] * 3)
    small = create()
    client, errors = producer(message_max_bytes=15_000_000), []
    client.produce(small, big, on_delivery=lambda error, _: errors.append(error.code()))
    client.flush(60)
    equal(errors, [KafkaError.MSG_SIZE_TOO_LARGE])


@scenario
def a_big_message_passes_a_small_fetch_limit():
    topic = create()
    produce(topic, [(0, None, b"x" * 500_000)] * 4)
    equal(len(read(topic, fetch_message_max_bytes=1000, fetch_max_bytes=2_000_000)), 4)


@scenario
def an_idempotent_producer_keeps_order():
    topic = create(3)
    sent = [(i % 3, None, b"%d" % i) for i in range(20_000)]
    produce(topic, sent, enable_idempotence=True, linger_ms=1)
    found = [[], [], []]
    for message in read(topic, 3):
        found[message.partition()].append(int(message.value()))
    for partition in range(3):
        equal(found[partition], list(range(partition, 20_000, 3)))


@scenario
def acks_zero_and_one_arrive():
    topic = create()
    produce(topic, [(0, None, b"one")] * 100, acks=1)
    client = producer(acks=0)
    for _ in range(100):
        client.produce(topic, b"zero")
    client.flush(60)
    until("200 messages", lambda: len(read(topic)) == 200)


@scenario
def transactions_commit_and_abort():
    topic, transactional = create(2), unique("txn")
    client = producer(transactional_id=transactional)
    client.init_transactions(60)
    for round_number in range(6):
        client.begin_transaction()
        for i in range(20):
            client.produce(topic, b"%d-%d" % (round_number, i), partition=i % 2)
        if round_number % 2:
            client.flush(60)
            client.abort_transaction(60)
        else:
            client.commit_transaction(60)
    committed = read(topic, 2, "read_committed")
    equal(sorted({m.value().split(b"-")[0] for m in committed}), [b"0", b"2", b"4"])
    equal(len(committed), 60)
    equal(len(read(topic, 2)), 120)


@scenario
def an_open_transaction_hides_what_follows_until_it_ends():
    topic = create()
    client = producer(transactional_id=unique("txn"))
    client.init_transactions(60)
    client.begin_transaction()
    client.produce(topic, b"open")
    client.flush(60)
    produce(topic, [(0, None, b"plain")])
    equal(len(read(topic, isolation="read_committed")), 0)
    equal(len(read(topic)), 2)
    stable = done(admin.list_offsets({TopicPartition(topic, 0): OffsetSpec.latest()},
                                     isolation_level=IsolationLevel.READ_COMMITTED))
    equal([result.offset for result in stable.values()], [0])
    client.commit_transaction(60)
    until("both", lambda: [m.value() for m in read(topic, isolation="read_committed")] == [b"open", b"plain"])


@scenario
def a_second_producer_fences_the_first():
    topic, transactional = create(), unique("txn")
    first = producer(transactional_id=transactional)
    first.init_transactions(60)
    first.begin_transaction()
    first.produce(topic, b"first")
    first.flush(60)
    second = producer(transactional_id=transactional)
    second.init_transactions(60)
    try:
        first.commit_transaction(60)
        raise AssertionError("the fenced producer committed")
    except KafkaException as error:
        assert error.args[0].fatal(), error
    second.begin_transaction()
    second.produce(topic, b"second")
    second.commit_transaction(60)
    equal([m.value() for m in read(topic, isolation="read_committed")], [b"second"])


@scenario
def offsets_are_committed_within_a_transaction():
    source, target, group = create(), create(), unique("eos")
    produce(source, [(0, None, b"%d" % i) for i in range(100)])
    client = producer(transactional_id=unique("txn"))
    client.init_transactions(60)
    for attempt in ["abort", "commit"]:
        input_ = consumer(group, isolation_level="read_committed")
        input_.subscribe([source])
        seen = []
        while len(seen) < 100:
            message = input_.poll(30)
            assert message is not None and not message.error(), message
            seen.append(message.value())
        client.begin_transaction()
        for value in seen:
            client.produce(target, value)
        client.send_offsets_to_transaction(input_.position(input_.assignment()), input_.consumer_group_metadata(), 60)
        client.abort_transaction(60) if attempt == "abort" else client.commit_transaction(60)
        [committed] = input_.committed([TopicPartition(source, 0)], 30)
        equal(committed.offset, confluent_kafka.OFFSET_INVALID if attempt == "abort" else 100)
        input_.close()
    equal(len(read(target, isolation="read_committed")), 100)


def members_rebalance_while_producing(protocol):
    topic, group, total = create(6), unique(f"group-{protocol}"), 6000
    seen, lock, stop = set(), threading.Lock(), threading.Event()
    assigned = {}

    def member(name, leave):
        settings = {"group_protocol": protocol}
        if protocol == "classic":
            settings |= {"session_timeout_ms": 6000, "heartbeat_interval_ms": 500,
                         "partition_assignment_strategy": "cooperative-sticky"}
        client = consumer(group, **settings)
        client.subscribe([topic])
        while not (stop.is_set() or leave.is_set()):
            message = client.poll(0.1)
            with lock:
                assigned[name] = {p.partition for p in client.assignment()}
                if message is not None and not message.error():
                    seen.add(int(message.value()))
            if message is not None and not message.error():
                client.commit(message, asynchronous=True)
        client.close()
        with lock:
            assigned[name] = set()

    def start(name):
        leave = threading.Event()
        thread = threading.Thread(target=member, args=(name, leave), daemon=True)
        thread.start()
        return leave, thread

    def spread(names):
        """Whether these members have all six partitions among them, each has some, and none twice."""
        with lock:
            parts = [assigned.get(name, set()) for name in names]
        return all(parts) and sum(map(len, parts)) == 6 and set().union(*parts) == set(range(6))

    client = producer()

    def send(numbers):
        for number in numbers:
            client.produce(topic, b"%d" % number, partition=number % 6)
        client.flush(60)

    members = [start("a")]
    send(range(0, 1500))
    members.append(start("b"))
    send(range(1500, 3000))
    members.append(start("c"))
    until("three members", lambda: spread("abc"))
    send(range(3000, 4500))
    described = done(admin.describe_consumer_groups([group]))[group]
    equal(len(described.members), 3)
    until("the group to be stable",
          lambda: done(admin.describe_consumer_groups([group]))[group].state.name == "STABLE")
    members[0][0].set()
    until("two members", lambda: spread("bc"))
    send(range(4500, total))
    until("all messages", lambda: len(seen) == total)
    stop.set()
    for _, thread in members:
        thread.join(30)


@scenario
def a_classic_group_rebalances_while_producing():
    members_rebalance_while_producing("classic")


@scenario
def a_consumer_group_of_kip_848_rebalances_while_producing():
    members_rebalance_while_producing("consumer")


@scenario
def a_static_member_keeps_its_partitions():
    topic, group = create(4), unique("static")

    def member(name):
        client = consumer(group, group_instance_id=name, session_timeout_ms=30000)
        client.subscribe([topic])
        return client

    def settle(clients):
        def ready():
            for client in clients:
                client.poll(0.1)
            return sum(len(client.assignment()) for client in clients) == 4 and all(c.assignment() for c in clients)

        until("the assignment", ready)
        return [sorted(p.partition for p in client.assignment()) for client in clients]

    first, second = member("one"), member("two")
    before = settle([first, second])
    # A static member does not say that it leaves, and its place is kept.
    second.close()
    second = member("two")
    equal(settle([first, second]), before)
    described = done(admin.describe_consumer_groups([group]))[group]
    equal(sorted(m.group_instance_id for m in described.members), ["one", "two"])
    first.close()
    second.close()


@scenario
def groups_are_listed_described_altered_and_deleted():
    topic, group = create(2), unique("group")
    produce(topic, [(i % 2, None, b"%d" % i) for i in range(20)])
    client = consumer(group)
    client.subscribe([topic])
    seen = 0
    while seen < 20:
        message = client.poll(30)
        assert message is not None and not message.error(), message
        seen += 1
    client.commit(asynchronous=False)
    equal(error_of(admin.delete_consumer_groups([group])[group]), KafkaError.NON_EMPTY_GROUP)
    client.close()
    equal([p.offset for p in client_committed(group, topic, 2)], [10, 10])
    listed = admin.list_consumer_groups().result(60)
    assert group in [found.group_id for found in listed.valid]
    until("the group to be empty",
          lambda: done(admin.describe_consumer_groups([group]))[group].state.name == "EMPTY")
    changed = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 0, 3), TopicPartition(topic, 1, 4)])
    done(admin.alter_consumer_group_offsets([changed]))
    equal([p.offset for p in client_committed(group, topic, 2)], [3, 4])
    again = consumer(group)
    again.subscribe([topic])
    values = set()
    while len(values) < 13:
        message = again.poll(30)
        assert message is not None and not message.error(), message
        values.add(int(message.value()))
    equal(values, set(range(6, 20, 2)) | set(range(9, 20, 2)))
    again.close()
    until("the group to be empty",
          lambda: done(admin.describe_consumer_groups([group]))[group].state.name == "EMPTY")
    done(admin.delete_consumer_groups([group]))
    equal(error_of(admin.delete_consumer_groups([group])[group]), KafkaError.GROUP_ID_NOT_FOUND)


def client_committed(group, topic, partitions):
    wanted = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, p) for p in range(partitions)])
    found = done(admin.list_consumer_group_offsets([wanted]))[group].topic_partitions
    return sorted(found, key=lambda p: p.partition)


@scenario
def offsets_are_found_by_time():
    topic = create()
    client = producer()
    for i in range(1000):
        client.produce(topic, b"%d" % i, timestamp=1_000_000 + i * 10)
        if i % 100 == 99:
            client.flush(60)
    reader = consumer()
    for at, offset in [(0, 0), (1_000_000, 0), (1_000_001, 1), (1_005_000, 500), (1_009_990, 999)]:
        equal(reader.offsets_for_times([TopicPartition(topic, 0, at)], 30)[0].offset, offset)
    equal(reader.offsets_for_times([TopicPartition(topic, 0, 2_000_000)], 30)[0].offset, confluent_kafka.OFFSET_END)
    equal(reader.get_watermark_offsets(TopicPartition(topic, 0), 30), (0, 1000))
    partition = TopicPartition(topic, 0)
    specs = [(OffsetSpec.earliest(), 0), (OffsetSpec.latest(), 1000), (OffsetSpec.max_timestamp(), 999),
             (OffsetSpec.for_timestamp(1_000_005), 1)]
    for spec, offset in specs:
        equal(done(admin.list_offsets({partition: spec}))[partition].offset, offset)


@scenario
def seek_pause_and_resume():
    topic = create(2)
    produce(topic, [(i % 2, None, b"%d" % (i // 2)) for i in range(200)])
    client = consumer()
    client.assign([TopicPartition(topic, 0, 50), TopicPartition(topic, 1, confluent_kafka.OFFSET_END)])
    first = until("a message", lambda: client.poll(1))
    equal((first.partition(), first.offset(), first.value()), (0, 50, b"50"))
    client.pause([TopicPartition(topic, 0)])
    client.seek(TopicPartition(topic, 1, 98))
    # What had been fetched of partition 0 before the pause is dropped by the client.
    following = [until("a message", lambda: client.poll(1)) for _ in range(2)]
    equal([(m.partition(), m.offset()) for m in following], [(1, 98), (1, 99)])
    client.resume([TopicPartition(topic, 0)])
    equal(until("a message", lambda: client.poll(1)).partition(), 0)
    client.close()


@scenario
def an_offset_out_of_range_is_reset_as_told():
    topic = create()
    produce(topic, [(0, None, b"%d" % i) for i in range(10)])
    for reset, expected in [("earliest", 0), ("error", None)]:
        client = consumer(auto_offset_reset=reset)
        client.assign([TopicPartition(topic, 0, 5000)])
        message = until("an answer", lambda: client.poll(1))
        if expected is None:
            equal(message.error().code(), KafkaError._AUTO_OFFSET_RESET)
        else:
            equal(message.offset(), expected)
        client.close()


@scenario
def configs_are_described_and_altered():
    topic = create(retention_ms="60000")
    resource = ConfigResource(ResourceType.TOPIC, topic)

    def entry(key):
        return done(admin.describe_configs([resource]))[resource][key]

    equal((entry("retention.ms").value, entry("retention.ms").is_default), ("60000", False))
    equal((entry("cleanup.policy").value, entry("cleanup.policy").is_default), ("delete", True))
    changes = [("retention.ms", AlterConfigOpType.DELETE, None), ("max.message.bytes", AlterConfigOpType.SET, "2000"),
               ("cleanup.policy", AlterConfigOpType.APPEND, "compact")]
    entries = [ConfigEntry(key, value, incremental_operation=op) for key, op, value in changes]
    done(admin.incremental_alter_configs([ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)]))
    until("the change", lambda: entry("max.message.bytes").value == "2000")
    equal(entry("retention.ms").value, "604800000")
    equal(set(entry("cleanup.policy").value.split(",")), {"delete", "compact"})
    bad = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[
        ConfigEntry("min.insync.replicas", "none", incremental_operation=AlterConfigOpType.SET)])
    equal(error_of(admin.incremental_alter_configs([bad])[bad]), KafkaError.INVALID_CONFIG)
    client, errors = producer(), []
    client.produce(topic, b"x" * 3000, b"key", on_delivery=lambda error, _: errors.append(error.code()))
    client.flush(60)
    equal(errors, [KafkaError.MSG_SIZE_TOO_LARGE])
    cluster = admin.describe_cluster().result(60)
    broker = ConfigResource(ResourceType.BROKER, str(cluster.nodes[0].id))
    assert "log.retention.ms" in done(admin.describe_configs([broker]))[broker]


@scenario
def records_are_deleted_up_to_an_offset():
    topic = create(2)
    produce(topic, [(i % 2, None, b"%d" % i) for i in range(200)])
    deleted = done(admin.delete_records([TopicPartition(topic, 0, 40),
                                         TopicPartition(topic, 1, confluent_kafka.OFFSET_END)]))
    equal(sorted(result.low_watermark for result in deleted.values()), [40, 100])
    reader = consumer()
    equal(reader.get_watermark_offsets(TopicPartition(topic, 0), 30), (40, 100))
    equal(reader.get_watermark_offsets(TopicPartition(topic, 1), 30), (100, 100))
    equal(len(read(topic, 1, auto_offset_reset="earliest")), 60)
    beyond = admin.delete_records([TopicPartition(topic, 0, 5000)])
    equal([error_of(future) for future in beyond.values()], [KafkaError.OFFSET_OUT_OF_RANGE])


@scenario
def a_topic_is_made_by_writing_to_it():
    topic = unique("auto")
    equal(produce(topic, [(0, None, b"first")]), [(0, 0)])
    equal([m.value() for m in read(topic)], [b"first"])


@scenario
def subscription_by_pattern_finds_new_topics():
    word = unique("pattern")
    done(admin.create_topics([NewTopic(f"{word}.one", 1, 1)]))
    produce(f"{word}.one", [(0, None, b"one")])
    client = consumer(topic_metadata_refresh_interval_ms=500)
    client.subscribe([f"^{word}\\..*"])
    equal(until("the first", lambda: client.poll(1)).value(), b"one")
    done(admin.create_topics([NewTopic(f"{word}.two", 1, 1)]))
    produce(f"{word}.two", [(0, None, b"two")])
    # Nothing was committed, so the first may come again after the rebalance.
    until("the second", lambda: (message := client.poll(1)) and message.value() == b"two")
    client.close()


def nothing_acknowledged_is_lost(how):
    topic = create(3)
    acknowledged, client = [], producer(enable_idempotence=True, message_timeout_ms=120_000, linger_ms=1)

    def report(error, message):
        assert error is None, error
        acknowledged.append(int(message.value()))

    half = threading.Event()

    def send():
        for i in range(6000):
            client.produce(topic, b"%d" % i, partition=i % 3, on_delivery=report)
            client.poll(0.0005)
            if i == 2000:
                half.set()

    thread = threading.Thread(target=send)
    reader = consumer(enable_auto_commit=True)
    reader.subscribe([topic])
    thread.start()
    half.wait()
    control(how)
    thread.join()
    equal(client.flush(120), 0)
    equal(len(acknowledged), 6000)
    equal(sorted(int(m.value()) for m in read(topic, 3)), list(range(6000)))
    seen = set()
    while len(seen) < 6000:
        message = until("a message", lambda: reader.poll(1))
        if not message.error():
            seen.add(int(message.value()))
    reader.close()


@scenario
def a_restart_in_the_middle_loses_nothing():
    nothing_acknowledged_is_lost("restart")


@scenario
def a_crash_in_the_middle_loses_nothing():
    nothing_acknowledged_is_lost("crash")


@scenario
def a_transaction_survives_a_restart():
    topic = create()
    client = producer(transactional_id=unique("txn"))
    client.init_transactions(60)
    client.begin_transaction()
    client.produce(topic, b"before")
    client.flush(60)
    control("restart")
    client.produce(topic, b"after")
    client.commit_transaction(60)
    equal([m.value() for m in read(topic, isolation="read_committed")], [b"before", b"after"])


if __name__ == "__main__":
    run()
