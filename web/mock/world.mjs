// A made-up cluster that lives: topics that fill, groups that read, rules that fire. Deterministic but for the clock.

let seed = 42;
/** Between 0 and 1. */
export function random() {
  seed = (seed * 1_664_525 + 1_013_904_223) >>> 0;
  return seed / 2 ** 32;
}
const pick = (list) => list[Math.floor(random() * list.length)];

export const bootId = `mock-${Date.now()}`;
export const startedAt = Date.now() - 3_600_000;

const PRODUCTS = [
  "Café de Colombia",
  "Azeite extra virgem",
  "Té verde",
  "Pão de queijo",
  "Chocolate 70 %",
  "Queso manchego",
  "Vinho do Porto",
  "Naranjas",
];
const STORES = Array.from({ length: 12 }, (_, index) => `S${String(index + 1).padStart(3, "0")}`);
const AIRPORTS = ["JFK", "LGA", "EWR", "MIA", "BOS", "ORD", "SJU"];

function invoice(n) {
  const lines = Array.from({ length: 1 + Math.floor(random() * 4) }, () => ({
    product: pick(PRODUCTS),
    quantity: 1 + Math.floor(random() * 5),
    price: Math.round(random() * 4_000) / 100,
  }));
  const total = lines.reduce((sum, line) => sum + line.quantity * line.price, 0).toFixed(2);
  return {
    key: pick(STORES),
    value: `{"InvoiceNumber":${9_007_199_254_740_993n + BigInt(n)},"StoreID":"${pick(STORES)}","CashierID":"OAS${100 + Math.floor(random() * 90)}","CreatedTime":${Date.now()},"TotalAmount":${total},"CustomerType":"${random() < 0.4 ? "PRIME" : "NONPRIME"}","DeliveryType":"${random() < 0.2 ? "HOME-DELIVERY" : "TAKEAWAY"}","InvoiceLineItems":${JSON.stringify(lines)}}`,
    headers: [
      { name: "source", value: "pos" },
      { name: "trace", value: Math.floor(random() * 1e9).toString(16) },
    ],
  };
}
const MAKERS = {
  invoices: invoice,
  rewards: () => ({
    key: `C${Math.floor(random() * 900)}`,
    value: JSON.stringify({ points: Math.floor(random() * 80), total: Math.floor(random() * 3000) }),
    headers: [],
  }),
  flights: () => ({
    key: pick(AIRPORTS),
    value: JSON.stringify({
      flight: `UA${Math.floor(random() * 2000)}`,
      origin: pick(AIRPORTS),
      dest: pick(AIRPORTS),
      dep_delay: Math.floor(random() * 90 - 15),
      air_time: Math.floor(40 + random() * 320),
    }),
    headers: [],
  }),
  sms: () => ({ key: null, value: `¡Gracias! Has ganado ${Math.floor(random() * 50)} puntos`, headers: [] }),
  binary: () => ({
    key: "bin",
    bytes: Array.from({ length: 48 }, () => Math.floor(random() * 256)),
    headers: [],
  }),
};

/** name → topic. */
export const topics = new Map();
const KEEP = 2_000;

export function createTopic(
  name,
  { partitions = 3, replicationFactor = 1, configs = {}, rate = 0, make = null, internal = false } = {},
) {
  const topic = {
    name,
    internal,
    topicId: `mock${Math.floor(random() * 1e12).toString(36)}`,
    replicationFactor,
    configs: { ...configs },
    rate,
    make,
    carry: 0,
    recent: [],
    parts: Array.from({ length: partitions }, (_, index) => ({
      partition: index,
      begin: 0,
      end: 0,
      messages: [],
      bytes: 0,
    })),
    counter: 0,
    createdAt: Date.now(),
  };
  topics.set(name, topic);
  return topic;
}

/** While the past is made up: how long ago it is. */
let pastMs = 0;
export function append(
  topic,
  { partition, key = null, value = null, bytes = null, headers = [], timestamp = Date.now() - pastMs },
) {
  const text = (content) => (content === null ? null : payload(content));
  const at =
    partition ?? (key === null ? topic.counter % topic.parts.length : hash(key) % topic.parts.length);
  const part = topic.parts[at];
  const message = {
    partition: at,
    offset: part.end++,
    timestamp,
    timestampType: "create",
    key: text(key),
    value: bytes ? binary(bytes) : text(value),
    headers: headers.map((header) => ({ name: header.name, value: text(header.value) })),
    compression: topic.rate > 50 ? "lz4" : null,
  };
  topic.counter++;
  part.bytes += 40 + (message.value?.sizeBytes ?? 0);
  part.messages.push(message);
  if (part.messages.length > KEEP) part.messages.splice(0, part.messages.length - KEEP);
  for (const listener of listeners) listener(topic, message);
  return message;
}
export const listeners = new Set();

export function payload(text) {
  let format = "text";
  try {
    const parsed = JSON.parse(text);
    if (typeof parsed === "object" && parsed !== null) format = "json";
  } catch {}
  return { format, text, base64: null, sizeBytes: Buffer.byteLength(text), truncated: false };
}
function binary(bytes) {
  return {
    format: "binary",
    text: null,
    base64: Buffer.from(bytes).toString("base64"),
    sizeBytes: bytes.length,
    truncated: false,
  };
}
const hash = (text) => [...text].reduce((sum, char) => (sum * 31 + char.charCodeAt(0)) >>> 0, 7);

/** name → group. */
export const groups = new Map();
/** Topic → names of the groups that read it. */
export const readersOf = new Map();

export function createGroup(name, { topic, members = 2, speed = 1, lag = 0, type = "classic" }) {
  const group = { name, topics: [topic], members: [], speed, type, offsets: new Map(), history: [] };
  for (let index = 0; index < members; index++) {
    group.members.push({
      memberId: `${name}-${index + 1}-${Math.floor(random() * 1e9).toString(16)}`,
      instanceId: index === 0 ? `${name}-static` : null,
      clientId: `${name}-client`,
      host: `/127.0.0.${index + 1}`,
    });
  }
  for (const part of topics.get(topic)?.parts ?? []) {
    group.offsets.set(`${topic}\n${part.partition}`, {
      committed: Math.max(part.begin, part.end - lag),
      spark: [],
    });
  }
  groups.set(name, group);
  if (!readersOf.has(topic)) readersOf.set(topic, new Set());
  readersOf.get(topic).add(name);
  return group;
}

export const rates = new Map();

/** Lets a moment pass. */
export function step(seconds) {
  const now = Date.now() - pastMs;
  const wave = 1 + 0.35 * Math.sin(now / 9_000) + 0.12 * Math.sin(now / 1_700);
  for (const topic of topics.values()) {
    if (topic.rate === 0) continue;
    topic.carry += topic.rate * wave * seconds;
    const count = Math.floor(topic.carry);
    topic.carry -= count;
    for (let index = 0; index < count; index++) append(topic, topic.make(topic.counter));
  }
  for (const group of groups.values()) {
    if (group.members.length === 0) continue;
    for (const [key, offset] of group.offsets) {
      const [name, partition] = key.split("\n");
      const part = topics.get(name)?.parts[Number(partition)];
      if (!part) continue;
      const behind = part.end - offset.committed;
      const takes = Math.min(
        behind,
        Math.ceil(
          ((topics.get(name).rate * wave) / topics.get(name).parts.length) * seconds * group.speed +
            (group.speed >= 1 ? 2 : 0),
        ),
      );
      offset.committed += takes;
    }
  }
}

/** Each second: rates and small histories. */
let ticks = 0;
export function measure() {
  ticks++;
  for (const topic of topics.values()) {
    const end = topic.parts.reduce((sum, part) => sum + part.end, 0);
    const bytes = topic.parts.reduce((sum, part) => sum + part.bytes, 0);
    const before = rates.get(topic.name) ?? { end, bytes, inMessages: 0, inBytes: 0, spark: [] };
    const inMessages = before.inMessages * 0.6 + (end - before.end) * 0.4;
    const inBytes = before.inBytes * 0.6 + (bytes - before.bytes) * 0.4;
    const spark = ticks % 2 === 0 ? [...before.spark, Math.round(inMessages)].slice(-30) : before.spark;
    rates.set(topic.name, {
      end,
      bytes,
      inMessages: inMessages < 0.05 ? 0 : inMessages,
      inBytes: inMessages < 0.05 ? 0 : inBytes,
      spark,
    });
  }
  for (const group of groups.values()) {
    const lag = groupLag(group);
    group.history.push({ t: Date.now(), lag, lagSeconds: lagSeconds(group) });
    if (group.history.length > 900) group.history.shift();
    if (ticks % 2 === 0) {
      for (const [key, offset] of group.offsets) {
        const [name, partition] = key.split("\n");
        const part = topics.get(name)?.parts[Number(partition)];
        offset.spark = [...offset.spark, Math.max(0, (part?.end ?? 0) - offset.committed)].slice(-30);
      }
    }
  }
}

export function groupLag(group) {
  let lag = 0;
  for (const [key, offset] of group.offsets) {
    const [name, partition] = key.split("\n");
    const part = topics.get(name)?.parts[Number(partition)];
    if (part) lag += Math.max(0, part.end - offset.committed);
  }
  return lag;
}
export function lagSeconds(group) {
  const rate = group.topics.reduce((sum, name) => sum + (rates.get(name)?.inMessages ?? 0), 0);
  const lag = groupLag(group);
  return lag === 0 ? 0 : rate > 0 ? Math.round((lag / rate) * 10) / 10 : 60;
}
export function trend(group) {
  const history = group.history.slice(-20);
  if (history.length < 5) return { trend: "steady", zeroInSeconds: null };
  const slope = (history.at(-1).lag - history[0].lag) / history.length;
  const lag = history.at(-1).lag;
  if (slope > Math.max(1, lag * 0.004)) return { trend: "rising", zeroInSeconds: null };
  if (slope < -Math.max(1, lag * 0.004)) return { trend: "falling", zeroInSeconds: Math.round(lag / -slope) };
  return { trend: "steady", zeroInSeconds: null };
}

createTopic("invoices", {
  partitions: 6,
  rate: 140,
  make: MAKERS.invoices,
  configs: { "retention.ms": "259200000" },
});
createTopic("loyalty-rewards", { partitions: 3, rate: 45, make: MAKERS.rewards });
createTopic("sms", { partitions: 1, rate: 12, make: MAKERS.sms });
createTopic("shipments", { partitions: 3, rate: 28, make: MAKERS.invoices });
createTopic("orders", { partitions: 4, rate: 30, make: MAKERS.invoices });
createTopic("flights", { partitions: 4, rate: 22, make: MAKERS.flights });
createTopic("blobs", { partitions: 1, rate: 1, make: MAKERS.binary });
createTopic("customers", { partitions: 3, configs: { "cleanup.policy": "compact" } });
createTopic("firehose", { partitions: 8 });
createTopic("empty-topic", { partitions: 2 });
createTopic("__consumer_offsets", {
  partitions: 50,
  internal: true,
  configs: { "cleanup.policy": "compact" },
});
createTopic("__transaction_state", {
  partitions: 50,
  internal: true,
  configs: { "cleanup.policy": "compact" },
});

for (pastMs = 20_000; pastMs > 0; pastMs -= 250) step(0.25);
pastMs = 0;
createGroup("inventory", { topic: "invoices", members: 3, speed: 1.2 });
createGroup("loyalty", { topic: "invoices", members: 2, speed: 1.1 });
createGroup("shipment", { topic: "invoices", members: 8, speed: 1.5 });
createGroup("finance", { topic: "invoices", members: 1, speed: 0.72, lag: 120 });
createGroup("flight-board", { topic: "flights", members: 2, speed: 1.3, type: "consumer" });
createGroup("sms-sender", { topic: "sms", members: 1, speed: 1.1 });
createGroup("nightly-report", { topic: "orders", members: 0, lag: 900 });

/** For the test of long lists. */
export function grow(topicCount, groupCount) {
  for (let index = 0; index < topicCount; index++)
    createTopic(`t-${String(index).padStart(5, "0")}`, { partitions: 1 });
  for (let index = 0; index < groupCount; index++)
    createGroup(`g-${String(index).padStart(5, "0")}`, { topic: "customers", members: 0 });
}
