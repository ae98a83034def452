// KafkaJS: a client in plain JavaScript that speaks the old, non-flexible versions of the protocol.
'use strict'

const assert = require('node:assert/strict')
const net = require('node:net')
const { Kafka, CompressionTypes, CompressionCodecs, logLevel, ConfigResourceTypes } = require('kafkajs')

// Its plugins for lz4 and zstd want a C++ compiler; gzip is built in.
CompressionCodecs[CompressionTypes.Snappy] = require('kafkajs-snappy')

process.env.KAFKAJS_NO_PARTITIONER_WARNING = '1'
const kafka = new Kafka({
  clientId: 'afluente-compat',
  brokers: [process.env.BOOTSTRAP],
  logLevel: logLevel.NOTHING,
  retry: { retries: 100, initialRetryTime: 100, maxRetryTime: 1000 },
})
const admin = kafka.admin()

class Skip extends Error {}

let number = 0
const unique = (word) => `${word}-${process.pid}-${++number}`
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

async function until(what, condition, seconds = 60) {
  for (let i = 0; i < seconds * 20; i++) {
    if (await condition()) return
    await sleep(50)
  }
  throw new Error(`waited in vain for ${what}`)
}

async function control(what) {
  if (!process.env.CONTROL) throw new Skip('the broker is not ours to restart')
  const [host, port] = process.env.CONTROL.split(':')
  const answer = await new Promise((resolve, reject) => {
    const socket = net.connect(Number(port), host, () => socket.write(`${what}\n`))
    let said = ''
    socket.on('data', (data) => (said += data))
    socket.on('end', () => resolve(said.trim()))
    socket.on('error', reject)
  })
  assert.equal(answer, 'ok')
}

async function create(partitions = 1, config = {}) {
  const topic = unique('js')
  const configEntries = Object.entries(config).map(([name, value]) => ({ name, value }))
  await admin.createTopics({
    topics: [{ topic, numPartitions: partitions, replicationFactor: 1, configEntries }],
    waitForLeaders: false,
  })
  const known = async () => {
    try {
      return (await admin.fetchTopicMetadata({ topics: [topic] })).topics[0].partitions.every((p) => p.leader >= 0)
    } catch {
      return false // unknown yet: the answer to CreateTopics comes before every broker knows
    }
  }
  await until('the topic', known)
  return topic
}

const messages = (from, to, partitions = 1) =>
  Array.from({ length: to - from }, (_, i) => ({ value: String(from + i), partition: (from + i) % partitions }))

async function produce(topic, batch, options = {}, compression = CompressionTypes.None) {
  const producer = kafka.producer(options)
  await producer.connect()
  const sent = await producer.send({ topic, messages: batch, acks: -1, compression })
  await producer.disconnect()
  return sent
}

/** The first `count` records of a topic, read through a group of its own. */
async function read(topic, count, options = {}) {
  const consumer = kafka.consumer({ groupId: unique('read'), maxWaitTimeInMs: 100, ...options })
  const found = []
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  await consumer.run({ eachMessage: async ({ partition, message }) => found.push({ partition, ...message }) })
  await until(`${count} records`, () => found.length >= count)
  await sleep(200) // nothing may come after what was expected
  await consumer.disconnect()
  assert.equal(found.length, count)
  return found
}

const scenarios = {
  async topics_are_created_described_grown_and_deleted() {
    const topic = await create(3, { 'retention.ms': '60000' })
    const partitions = async () =>
      (await admin.fetchTopicMetadata({ topics: [topic] })).topics[0].partitions.length
    assert.equal(await partitions(), 3)
    assert.equal(await admin.createTopics({ topics: [{ topic }] }), false)
    await admin.createPartitions({ topicPartitions: [{ topic, count: 5 }] })
    await until('five partitions', async () => (await partitions()) === 5)
    await admin.deleteTopics({ topics: [topic] })
    await until('the topic to be gone', async () => !(await admin.listTopics()).includes(topic))
    const cluster = await admin.describeCluster()
    assert.equal(cluster.brokers.length, 1)
    assert.equal(cluster.controller, cluster.brokers[0].nodeId)
  },

  async codecs_come_back_as_they_went() {
    for (const codec of [CompressionTypes.None, CompressionTypes.GZIP, CompressionTypes.Snappy]) {
      const topic = await create()
      await produce(topic, messages(0, 1000), {}, codec)
      const found = await read(topic, 1000)
      assert.deepEqual(found.map((m) => m.value.toString()), messages(0, 1000).map((m) => m.value))
    }
  },

  async headers_and_nulls_come_back() {
    const topic = await create()
    await produce(topic, [
      { key: 'k', value: 'v', timestamp: '1234567890123', headers: { a: 'one', h: ['1', '2', '1'] } },
      { key: 'tombstone', value: null },
    ])
    const [first, second] = await read(topic, 2)
    assert.equal(first.timestamp, '1234567890123')
    assert.equal(first.headers.a.toString(), 'one')
    assert.deepEqual(first.headers.h.map(String), ['1', '2', '1'])
    assert.equal(second.value, null)
  },

  async messages_of_ten_megabytes_pass_where_allowed() {
    const topic = await create(1, { 'max.message.bytes': '12000000' })
    const value = Buffer.alloc(10_000_000, 'afluente')
    await produce(topic, [{ value }])
    const [found] = await read(topic, 1, { maxBytesPerPartition: 15_000_000 })
    assert.ok(found.value.equals(value))
    await assert.rejects(produce(await create(), [{ value }], { retry: { retries: 0 } }), /larger|too large/i)
  },

  async an_idempotent_producer_keeps_order() {
    const topic = await create()
    const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 })
    await producer.connect()
    for (let i = 0; i < 2000; i += 100) await producer.send({ topic, messages: messages(i, i + 100) })
    await producer.disconnect()
    assert.deepEqual((await read(topic, 2000)).map((m) => Number(m.value)), [...Array(2000).keys()])
  },

  async transactions_commit_and_abort() {
    const [topic, groupId] = [await create(), unique('group')]
    const producer = kafka.producer({ transactionalId: unique('txn'), maxInFlightRequests: 1, idempotent: true })
    await producer.connect()
    for (let round = 0; round < 4; round++) {
      const transaction = await producer.transaction()
      await transaction.send({ topic, messages: messages(round * 20, round * 20 + 20) })
      await transaction.sendOffsets({
        consumerGroupId: groupId,
        topics: [{ topic, partitions: [{ partition: 0, offset: String(100 + round) }] }],
      })
      if (round % 2) await transaction.abort()
      else await transaction.commit()
    }
    await producer.disconnect()
    const committed = (await read(topic, 40, { readUncommitted: false })).map((m) => Math.floor(Number(m.value) / 20))
    assert.deepEqual([...new Set(committed)], [0, 2])
    await read(topic, 80, { readUncommitted: true })
    const [offsets] = await admin.fetchOffsets({ groupId, topics: [topic] })
    assert.equal(offsets.partitions[0].offset, '102')
  },

  async a_group_rebalances_while_producing() {
    const [topic, groupId, total] = [await create(6), unique('group'), 3000]
    const seen = new Set()
    const assigned = {}
    const start = async (name) => {
      const consumer = kafka.consumer({ groupId, heartbeatInterval: 200, sessionTimeout: 6000, maxWaitTimeInMs: 100 })
      await consumer.connect()
      await consumer.subscribe({ topics: [topic], fromBeginning: true })
      consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => (assigned[name] = payload.memberAssignment[topic] || []))
      consumer.on(consumer.events.REBALANCING, () => (assigned[name] = []))
      await consumer.run({ eachMessage: async ({ message }) => seen.add(Number(message.value)) })
      return consumer
    }
    const spread = (names) => {
      const parts = [...names].map((name) => assigned[name] || [])
      return parts.every((p) => p.length > 0) && new Set(parts.flat()).size === 6 && parts.flat().length === 6
    }
    const producer = kafka.producer()
    await producer.connect()
    const send = (from, to) => producer.send({ topic, messages: messages(from, to, 6) })
    const a = await start('a')
    await send(0, 800)
    const b = await start('b')
    await send(800, 1600)
    await until('two members', () => spread('ab'))
    const c = await start('c')
    await until('three members', () => spread('abc'))
    await send(1600, 2400)
    const { groups } = await admin.describeGroups([groupId])
    assert.equal(groups[0].members.length, 3)
    await a.disconnect()
    await until('two members again', () => spread('bc'))
    await send(2400, total)
    await until('all records', () => seen.size === total)
    await b.disconnect()
    await c.disconnect()
    await producer.disconnect()
    const [offsets] = await admin.fetchOffsets({ groupId, topics: [topic] })
    assert.equal(offsets.partitions.reduce((sum, p) => sum + Number(p.offset), 0), total)
    assert.ok((await admin.listGroups()).groups.some((g) => g.groupId === groupId))
    await admin.deleteGroups([groupId])
  },

  async offsets_are_set_reset_and_found_by_time() {
    const [topic, groupId] = [await create(), unique('group')]
    await produce(topic, messages(0, 100).map((m, i) => ({ ...m, timestamp: String(1_000_000 + i * 10) })))
    const at = async (timestamp) => Number((await admin.fetchTopicOffsetsByTimestamp(topic, timestamp))[0].offset)
    assert.deepEqual([await at(1), await at(1_000_001), await at(1_000_990)], [0, 1, 99])
    const [{ high, low }] = await admin.fetchTopicOffsets(topic)
    assert.deepEqual([low, high], ['0', '100'])
    await admin.setOffsets({ groupId, topic, partitions: [{ partition: 0, offset: '42' }] })
    const committed = async () => (await admin.fetchOffsets({ groupId, topics: [topic] }))[0].partitions[0].offset
    assert.equal(await committed(), '42')
    await admin.resetOffsets({ groupId, topic, earliest: true })
    assert.equal(await committed(), '-2') // what it commits to say "from the start"
  },

  async configs_and_records_are_altered() {
    const topic = await create(1, { 'retention.ms': '60000' })
    await produce(topic, messages(0, 100))
    const config = async (name) => {
      const { resources } = await admin.describeConfigs({ resources: [{ type: ConfigResourceTypes.TOPIC, name: topic }] })
      return resources[0].configEntries.find((entry) => entry.configName === name).configValue
    }
    assert.equal(await config('retention.ms'), '60000')
    const configEntries = [{ name: 'max.message.bytes', value: '2000' }]
    await admin.alterConfigs({ resources: [{ type: ConfigResourceTypes.TOPIC, name: topic, configEntries }] })
    await until('the change', async () => (await config('max.message.bytes')) === '2000')
    // An admin that has seen topics come and go finds no leaders for this call.
    const fresh = kafka.admin()
    await fresh.connect()
    await fresh.fetchTopicOffsets(topic) // makes it load what it needs to know
    await fresh.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '40' }] })
    await fresh.disconnect()
    assert.equal((await read(topic, 60))[0].offset, '40')
  },

  a_restart_in_the_middle_loses_nothing: () => restart('restart'),
  a_crash_in_the_middle_loses_nothing: () => restart('crash'),
}

async function restart(how) {
  const topic = await create()
  const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 })
  await producer.connect()
  let restarted
  for (let i = 0; i < 1000; i += 10) {
    if (i === 300) restarted = control(how)
    await producer.send({ topic, messages: messages(i, i + 10), acks: -1 })
    await sleep(5)
  }
  await restarted
  await producer.disconnect()
  assert.deepEqual((await read(topic, 1000)).map((m) => Number(m.value)), [...Array(1000).keys()])
}

async function main(wanted) {
  await admin.connect()
  let failed = false
  for (const [name, run] of Object.entries(scenarios)) {
    if (wanted.length > 0 && !wanted.includes(name)) continue
    const start = Date.now()
    try {
      await run()
      console.log(`pass ${name} ${((Date.now() - start) / 1000).toFixed(1)}s`)
    } catch (error) {
      if (error instanceof Skip) {
        console.log(`skip ${name}: ${error.message}`)
        continue
      }
      failed = true
      console.error(error, error.partitions)
      console.log(`fail ${name}: ${String(error).replaceAll('\n', ' ').slice(0, 500)}`)
    }
  }
  process.exit(failed ? 1 : 0)
}

main(process.argv.slice(2))
