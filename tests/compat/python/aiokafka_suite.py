"""aiokafka: asyncio, and the old, non-flexible versions of the protocol."""

import asyncio
import contextlib
import inspect

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition, errors
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.structs import OffsetAndMetadata

import scenario as plain
from scenario import BOOTSTRAP, control, equal, run, unique


def scenario(function):
    """Registers a coroutine as a scenario."""

    def wrapper():
        asyncio.run(function())

    wrapper.__name__ = function.__name__
    plain.scenario(wrapper)
    return function


async def until(what, condition, seconds=60):
    """As the plain one, for conditions that may be coroutines."""
    for _ in range(seconds * 20):
        value = condition()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        await asyncio.sleep(0.05)
    raise AssertionError(f"waited in vain for {what}")


def producer(**config):
    return AIOKafkaProducer(bootstrap_servers=BOOTSTRAP, **({"acks": "all", "linger_ms": 5} | config))


def consumer(*topics, group=None, **config):
    settings = {"auto_offset_reset": "earliest", "enable_auto_commit": False, "fetch_max_wait_ms": 100}
    return AIOKafkaConsumer(*topics, bootstrap_servers=BOOTSTRAP, group_id=group, **(settings | config))


@contextlib.asynccontextmanager
async def admin():
    client = AIOKafkaAdminClient(bootstrap_servers=BOOTSTRAP)
    await client.start()
    try:
        yield client
    finally:
        await client.close()


async def create(partitions=1, **config):
    topic = unique("aio")
    config = {key.replace("_", "."): value for key, value in config.items()}
    async with admin() as client:
        answer = await client.create_topics([NewTopic(topic, partitions, 1, topic_configs=config)])
        equal([error for _, error, *_ in answer.topic_errors], [0])

        async def there():
            [described] = await client.describe_topics([topic])
            return described["error_code"] == 0

        await until("the topic", there)
    return topic


async def produce(topic, values, partition=0, **config):
    async with producer(**config) as client:
        futures = [await client.send(topic, value, partition=partition) for value in values]
        return [(await future).offset for future in futures]


async def read(topic, partitions=1, **config):
    """All records of a topic up to its end."""
    async with consumer(**config) as client:
        wanted = [TopicPartition(topic, p) for p in range(partitions)]
        client.assign(wanted)
        await client.seek_to_beginning(*wanted)
        ends, records = await client.end_offsets(wanted), []

        async def ended():
            for batch in (await client.getmany(timeout_ms=100)).values():
                records.extend(batch)
            return all([await client.position(p) >= ends[p] for p in wanted])

        await until("the end", ended)
        return records


@scenario
async def topics_are_created_described_grown_and_deleted():
    topic = await create(3)
    async with admin() as client:
        answer = await client.create_topics([NewTopic(topic, 1, 1)])
        equal([error for _, error, *_ in answer.topic_errors], [errors.TopicAlreadyExistsError.errno])
        await client.create_partitions({topic: NewPartitions(5)})

        async def grown():
            [described] = await client.describe_topics([topic])
            return len(described["partitions"]) == 5

        await until("five partitions", grown)
        await client.delete_topics([topic])

        async def gone():
            return topic not in await client.list_topics()

        await until("the topic to be gone", gone)


@scenario
async def every_codec_comes_back_as_it_went():
    for codec in [None, "gzip", "snappy", "lz4", "zstd"]:
        topic, sent = await create(), [b"value %d " % i * (1 + i % 50) for i in range(1000)]
        equal(await produce(topic, sent, compression_type=codec), list(range(1000)))
        equal([r.value for r in await read(topic)], sent)


@scenario
async def headers_keep_order_and_duplicates():
    topic, headers = await create(), [("h", b"1"), ("h", b"2"), ("h", b"1"), ("empty", b"")]
    async with producer() as client:
        await client.send_and_wait(topic, b"v", b"k", headers=headers, timestamp_ms=1234567890123)
        await client.send_and_wait(topic, None, b"tombstone")
    first, second = await read(topic)
    equal((list(first.headers), first.timestamp), (headers, 1234567890123))
    equal((second.key, second.value), (b"tombstone", None))


@scenario
async def messages_of_ten_megabytes_pass_where_allowed():
    topic, big = await create(max_message_bytes="12000000"), bytes(range(256)) * 40_000
    await produce(topic, [big] * 2, max_request_size=15_000_000)
    found = await read(topic, max_partition_fetch_bytes=15_000_000)
    equal([r.value == big for r in found], [True, True])
    try:
        await produce(await create(), [big], max_request_size=15_000_000)
        raise AssertionError("it was taken")
    except errors.MessageSizeTooLargeError:
        pass


@scenario
async def an_idempotent_producer_keeps_order():
    topic = await create()
    equal(await produce(topic, [b"%d" % i for i in range(5000)], enable_idempotence=True), list(range(5000)))
    equal([int(r.value) for r in await read(topic)], list(range(5000)))


@scenario
async def transactions_commit_and_abort():
    topic, group = await create(), unique("group")
    partition = TopicPartition(topic, 0)
    async with producer(transactional_id=unique("txn")) as client:
        for round_number in range(4):
            await client.begin_transaction()
            for i in range(20):
                await client.send(topic, b"%d-%d" % (round_number, i), partition=0)
            await client.send_offsets_to_transaction({partition: OffsetAndMetadata(100 + round_number, "")}, group)
            if round_number % 2:
                await client.abort_transaction()
            else:
                await client.commit_transaction()
    found = await read(topic, isolation_level="read_committed")
    equal([r.value.split(b"-")[0] for r in found], [b"0"] * 20 + [b"2"] * 20)
    equal(len(await read(topic)), 80)
    async with consumer(group=group) as reader:
        reader.assign([partition])
        equal(await reader.committed(partition), 102)


@scenario
async def a_group_rebalances_while_producing():
    topic, group, total = await create(6), unique("group"), 3000
    seen, assigned = set(), {}

    async def member(name, leave):
        async with consumer(topic, group=group, heartbeat_interval_ms=200, session_timeout_ms=6000) as client:
            while not leave.is_set():
                for records in (await client.getmany(timeout_ms=100)).values():
                    seen.update(int(r.value) for r in records)
                assigned[name] = {p.partition for p in client.assignment()}
                try:
                    await client.commit()
                except errors.CommitFailedError:
                    pass  # a rebalance came between; what was read comes again
            assigned[name] = set()

    def start(name):
        leave = asyncio.Event()
        return leave, asyncio.create_task(member(name, leave))

    def spread(names):
        parts = [assigned.get(name, set()) for name in names]
        return all(parts) and sum(map(len, parts)) == 6 and set().union(*parts) == set(range(6))

    async with producer() as client:

        async def send(numbers):
            futures = [await client.send(topic, b"%d" % i, partition=i % 6) for i in numbers]
            await asyncio.gather(*futures)

        members = [start("a")]
        await send(range(0, 800))
        members.append(start("b"))
        await send(range(800, 1600))
        await until("two members", lambda: spread("ab"))
        members.append(start("c"))
        await until("three members", lambda: spread("abc"))
        await send(range(1600, 2400))
        members[0][0].set()
        await members[0][1]
        await until("two members again", lambda: spread("bc"))
        await send(range(2400, total))
    await until("all records", lambda: len(seen) == total)
    async with admin() as client:
        assert group in {name for name, _ in await client.list_consumer_groups()}
        offsets = await client.list_consumer_group_offsets(group)
        equal(sum(o.offset for o in offsets.values()), total)
    for leave, task in members[1:]:
        leave.set()
        await task


@scenario
async def offsets_are_found_by_time():
    topic = await create()
    async with producer() as client:
        for i in range(100):
            await client.send(topic, b"%d" % i, timestamp_ms=1_000_000 + i * 10, partition=0)
    partition = TopicPartition(topic, 0)
    async with consumer() as reader:
        for at, offset in [(1, 0), (1_000_001, 1), (1_000_500, 50), (1_000_990, 99)]:
            found = (await reader.offsets_for_times({partition: at}))[partition]
            equal((found.offset, found.timestamp), (offset, 1_000_000 + offset * 10))
        equal((await reader.offsets_for_times({partition: 2_000_000}))[partition], None)
        equal((await reader.beginning_offsets([partition]))[partition], 0)


@scenario
async def configs_and_records_are_altered():
    topic = await create(retention_ms="60000")
    await produce(topic, [b"%d" % i for i in range(100)])
    async with admin() as client:
        await client.delete_records({TopicPartition(topic, 0): RecordsToDelete(40)})
        resource = ConfigResource(ConfigResourceType.TOPIC, topic, {"max.message.bytes": "2000"})
        await client.alter_configs([resource])

        async def changed():
            [answer] = await client.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
            values = {entry[0]: entry[1] for entry in answer.resources[0][4]}
            return values["max.message.bytes"] == "2000" and values["retention.ms"] == "604800000"

        await until("the change", changed)
    equal((await read(topic))[0].offset, 40)


async def nothing_acknowledged_is_lost(how):
    topic = await create()
    async with producer(enable_idempotence=True, request_timeout_ms=120_000) as client:
        restarted, futures = None, []
        for i in range(2000):
            futures.append(await client.send(topic, b"%d" % i, partition=0))
            await asyncio.sleep(0.001)
            if i == 500:
                restarted = asyncio.create_task(asyncio.to_thread(control, how))
        await restarted
        equal([(await future).offset for future in futures], list(range(2000)))
    equal([int(r.value) for r in await read(topic)], list(range(2000)))


@scenario
async def a_restart_in_the_middle_loses_nothing():
    await nothing_acknowledged_is_lost("restart")


@scenario
async def a_crash_in_the_middle_loses_nothing():
    await nothing_acknowledged_is_lost("crash")


if __name__ == "__main__":
    run()
