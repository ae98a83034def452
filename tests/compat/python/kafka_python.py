"""kafka-python: the client in plain Python, with a protocol implementation of its own."""

import threading
import time

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka import errors
from kafka.admin import ConfigResource, ConfigResourceType, NewTopic, OffsetSpec

from scenario import BOOTSTRAP, control, equal, run, scenario, unique, until

admin = KafkaAdminClient(bootstrap_servers=BOOTSTRAP)


def create(partitions=1, **config):
    topic = unique("kp")
    config = {key.replace("_", "."): value for key, value in config.items()}
    new = NewTopic(name=topic, num_partitions=partitions, replication_factor=1, topic_configs=config)

    def created():
        try:
            return admin.create_topics([new])
        except errors.NodeNotReadyError:
            return None  # after a restart the client waits before it connects again, and fails what comes meanwhile

    until("the admin client to be connected", created)
    admin.wait_for_topics([topic])
    return topic


def raises(error, function, *arguments, **named):
    try:
        function(*arguments, **named)
    except error:
        return
    raise AssertionError(f"no {error.__name__}")


def producer(**config):
    return KafkaProducer(bootstrap_servers=BOOTSTRAP, **({"acks": "all", "linger_ms": 5} | config))


def consumer(*topics, group=None, **config):
    settings = {"auto_offset_reset": "earliest", "enable_auto_commit": False, "fetch_max_wait_ms": 100}
    return KafkaConsumer(*topics, bootstrap_servers=BOOTSTRAP, group_id=group, **(settings | config))


def produce(topic, values, partition=0, **config):
    with_producer = producer(**config)
    futures = [with_producer.send(topic, value, partition=partition) for value in values]
    with_producer.flush(60)
    offsets = [future.get(60).offset for future in futures]
    with_producer.close()
    return offsets


def read(topic, partitions=1, **config):
    """All records of a topic up to its end."""
    client = consumer(**config)
    wanted = [TopicPartition(topic, p) for p in range(partitions)]
    client.assign(wanted)
    client.seek_to_beginning(*wanted)
    ends = client.end_offsets(wanted)
    records, deadline = [], time.monotonic() + 60
    while any(client.position(p) < ends[p] for p in wanted):
        assert time.monotonic() < deadline, f"no end after {len(records)} records"
        for batch in client.poll(timeout_ms=200).values():
            records.extend(batch)
    client.close()
    return records


@scenario
def topics_are_created_described_grown_and_deleted():
    topic = create(3)
    [described] = admin.describe_topics([topic])
    equal(len(described["partitions"]), 3)
    raises(errors.TopicAlreadyExistsError, admin.create_topics,
           [NewTopic(name=topic, num_partitions=1, replication_factor=1)])
    raises(errors.InvalidTopicError, admin.create_topics,
           [NewTopic(name="a b", num_partitions=1, replication_factor=1)])
    raises(errors.InvalidReplicationFactorError, admin.create_topics,
           [NewTopic(name=unique("x"), num_partitions=1, replication_factor=5)])
    admin.create_partitions({topic: 5})
    until("five partitions", lambda: len(admin.describe_topics([topic])[0]["partitions"]) == 5)
    admin.delete_topics([topic])
    until("the topic to be gone", lambda: topic not in {t["name"] for t in admin.list_topics()})


@scenario
def every_codec_comes_back_as_it_went():
    for codec in [None, "gzip", "snappy", "lz4", "zstd"]:
        topic = create()
        sent = [b"value %d " % i * (1 + i % 50) for i in range(500)]
        equal(produce(topic, sent, compression_type=codec), list(range(500)))
        equal([r.value for r in read(topic)], sent)


@scenario
def headers_keep_order_and_duplicates():
    topic, client = create(), producer()
    headers = [("h", b"1"), ("h", b"2"), ("h", b"1"), ("empty", b""), ("bytes", bytes(range(256)))]
    client.send(topic, b"v", b"k", headers=headers, timestamp_ms=1234567890123)
    client.send(topic, None, b"tombstone")
    client.flush(60)
    first, second = read(topic)
    equal(list(first.headers), headers)
    equal(first.timestamp, 1234567890123)
    equal((second.key, second.value), (b"tombstone", None))


@scenario
def messages_of_ten_megabytes_pass_where_allowed():
    topic, big = create(max_message_bytes="12000000"), bytes(range(256)) * 40_000
    produce(topic, [big] * 2, max_request_size=15_000_000)
    found = read(topic, max_partition_fetch_bytes=15_000_000)
    equal([r.value == big for r in found], [True, True])
    raises(errors.MessageSizeTooLargeError, produce, create(), [big], max_request_size=15_000_000,
           retries=0, enable_idempotence=False)


@scenario
def an_idempotent_producer_keeps_order():
    topic = create()
    equal(produce(topic, [b"%d" % i for i in range(3000)], enable_idempotence=True), list(range(3000)))
    equal([int(r.value) for r in read(topic)], list(range(3000)))


@scenario
def transactions_commit_and_abort():
    topic, group = create(), unique("group")
    client = producer(transactional_id=unique("txn"))
    client.init_transactions()
    for round_number in range(4):
        client.begin_transaction()
        for i in range(20):
            client.send(topic, b"%d-%d" % (round_number, i), partition=0)
        client.flush(60)
        if round_number % 2:
            client.abort_transaction()
        else:
            client.commit_transaction()
    found = read(topic, isolation_level="read_committed")
    equal([r.value.split(b"-")[0] for r in found], [b"0"] * 20 + [b"2"] * 20)
    equal(len(read(topic)), 80)
    reader = consumer(topic, group=group)
    until("the assignment", lambda: reader.poll(timeout_ms=100) is not None and reader.assignment())
    client.begin_transaction()
    client.send_offsets_to_transaction({TopicPartition(topic, 0): OffsetAndMetadata(7, "", -1)}, reader.group_metadata())
    client.commit_transaction()
    # The commit is answered before its markers are written.
    until("the offset", lambda: reader.committed(TopicPartition(topic, 0)) == 7)
    reader.close()
    client.close()


@scenario
def a_group_rebalances_while_producing():
    topic, group, total = create(4), unique("group"), 2000
    seen, assigned, stop = set(), {}, threading.Event()
    client = producer()

    def member(name, leave):
        reader = consumer(topic, group=group, session_timeout_ms=6000, heartbeat_interval_ms=300)
        while not (stop.is_set() or leave.is_set()):
            for records in reader.poll(timeout_ms=100).values():
                seen.update(int(r.value) for r in records)
            assigned[name] = {p.partition for p in reader.assignment()}
            try:
                reader.commit()
            except (errors.CommitFailedError, errors.RebalanceInProgressError):
                pass  # a rebalance came between; what was read comes again
        assigned[name] = set()
        reader.close()

    def start(name):
        leave = threading.Event()
        thread = threading.Thread(target=member, args=(name, leave), daemon=True)
        thread.start()
        return leave, thread

    def spread(names):
        parts = [assigned.get(name, set()) for name in names]
        return all(parts) and sum(map(len, parts)) == 4 and set().union(*parts) == {0, 1, 2, 3}

    def send(numbers):
        for i in numbers:
            client.send(topic, b"%d" % i, partition=i % 4)
        client.flush(60)

    members = [start("a")]
    send(range(0, 500))
    members.append(start("b"))
    send(range(500, 1000))
    until("two members", lambda: spread("ab"))
    members.append(start("c"))
    send(range(1000, 1500))
    until("three members", lambda: spread("abc"))
    equal(len(admin.describe_groups([group])[group]["members"]), 3)
    members[0][0].set()
    until("two members again", lambda: spread("bc"))
    send(range(1500, total))
    until("all records", lambda: len(seen) == total)
    stop.set()
    for _, thread in members:
        thread.join(30)
    equal(sum(o.offset for o in admin.list_group_offsets(group)[group].values()), total)
    assert group in {g["group_id"] for g in admin.list_groups()}
    until("the group to be deletable", lambda: deleted(group))


def deleted(group):
    try:
        admin.delete_groups([group])
    except errors.NonEmptyGroupError:
        return False
    return group not in {g["group_id"] for g in admin.list_groups()}


@scenario
def a_static_member_keeps_its_partitions():
    topic, group = create(4), unique("static")

    def member(name):
        return consumer(topic, group=group, group_instance_id=name, session_timeout_ms=30000, heartbeat_interval_ms=300)

    first = member("one")
    until("all partitions", lambda: first.poll(timeout_ms=100) is not None and len(first.assignment()) == 4)
    found = {}

    def join():
        second = member("two")
        found["second"] = second
        while "stop" not in found:
            second.poll(timeout_ms=100)

    thread = threading.Thread(target=join, daemon=True)
    thread.start()
    until("both", lambda: (first.poll(timeout_ms=100) is not None) and len(first.assignment()) == 2)
    before = sorted(p.partition for p in first.assignment())
    found["stop"] = True
    thread.join(30)
    found["second"].close()
    again = member("two")
    until("its place", lambda: again.poll(timeout_ms=100) is not None and len(again.assignment()) == 2)
    first.poll(timeout_ms=500)
    equal(sorted(p.partition for p in first.assignment()), before)
    again.close()
    first.close()


@scenario
def offsets_are_committed_found_and_reset():
    topic, group = create(), unique("group")
    produce(topic, [b"%d" % i for i in range(50)])
    partition = TopicPartition(topic, 0)
    first = consumer(group=group)
    first.assign([partition])
    first.commit({partition: OffsetAndMetadata(20, "twenty", -1)})
    equal(first.committed(partition, metadata=True).metadata, "twenty")
    first.close()
    second = consumer(group=group)
    second.assign([partition])
    equal(second.position(partition), 20)
    second.close()
    admin.alter_group_offsets(group, {partition: OffsetAndMetadata(5, "", -1)})
    equal(admin.list_group_offsets(group)[group][partition].offset, 5)


@scenario
def offsets_are_found_by_time():
    topic, client = create(), producer(linger_ms=0)
    for i in range(100):
        client.send(topic, b"%d" % i, timestamp_ms=1_000_000 + i * 10, partition=0)
        if i % 10 == 9:
            client.flush(60)
    partition, reader = TopicPartition(topic, 0), consumer()
    for at, offset in [(1, 0), (1_000_001, 1), (1_000_500, 50), (1_000_990, 99)]:
        found = reader.offsets_for_times({partition: at})[partition]
        equal((found.offset, found.timestamp), (offset, 1_000_000 + offset * 10))
    equal(reader.offsets_for_times({partition: 2_000_000})[partition], None)
    equal((reader.beginning_offsets([partition])[partition], reader.end_offsets([partition])[partition]), (0, 100))
    for spec, offset in [(OffsetSpec.EARLIEST, 0), (OffsetSpec.LATEST, 100), (OffsetSpec.MAX_TIMESTAMP, 99)]:
        equal(admin.list_partition_offsets({partition: spec})[partition].offset, offset)


@scenario
def configs_are_described_and_altered():
    topic = create(retention_ms="60000")
    resource = ConfigResource(ConfigResourceType.TOPIC, topic)

    def value(key):
        found = admin.describe_configs([resource], config_filter="all")["topic"][topic][key]
        return found["value"], found["config_source"]

    equal(value("retention.ms"), ("60000", "DYNAMIC_TOPIC_CONFIG"))
    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {"max.message.bytes": "2000"})])
    until("the change", lambda: value("max.message.bytes")[0] == "2000")
    equal(value("cleanup.policy"), ("delete", "DEFAULT_CONFIG"))


@scenario
def records_are_deleted_up_to_an_offset():
    topic = create()
    produce(topic, [b"%d" % i for i in range(100)])
    partition = TopicPartition(topic, 0)
    admin.delete_records({partition: 40})
    equal(consumer().beginning_offsets([partition])[partition], 40)
    equal([int(r.value) for r in read(topic)], list(range(40, 100)))


def nothing_acknowledged_is_lost(how):
    topic, client = create(), producer(enable_idempotence=True, delivery_timeout_ms=120_000)
    futures, half = [], threading.Event()

    def send():
        for i in range(2000):
            futures.append(client.send(topic, b"%d" % i, partition=0))
            time.sleep(0.001)
            if i == 500:
                half.set()

    thread = threading.Thread(target=send)
    thread.start()
    half.wait()
    control(how)
    thread.join()
    client.flush(120)
    equal([future.get(60).offset for future in futures], list(range(2000)))
    equal([int(r.value) for r in read(topic)], list(range(2000)))


@scenario
def a_restart_in_the_middle_loses_nothing():
    nothing_acknowledged_is_lost("restart")


@scenario
def a_crash_in_the_middle_loses_nothing():
    nothing_acknowledged_is_lost("crash")


if __name__ == "__main__":
    run()
