import { ok, page, refuse } from "./answers.mjs";
import { createTopic, groupLag, groups, lagSeconds, rates, readersOf, topics, trend } from "./world.mjs";

export function topicRow(topic) {
  const rate = rates.get(topic.name);
  return {
    name: topic.name,
    internal: topic.internal,
    partitions: topic.parts.length,
    replicationFactor: topic.replicationFactor,
    messages: topic.parts.reduce((sum, part) => sum + part.end - part.begin, 0),
    sizeBytes: topic.parts.reduce((sum, part) => sum + part.bytes, 0),
    inMessages: rate?.inMessages ?? 0,
    inBytes: rate?.inBytes ?? 0,
    sparkline: rate?.spark ?? [],
    cleanupPolicy: topic.configs["cleanup.policy"] ?? "delete",
    retentionMs: Number(topic.configs["retention.ms"] ?? 604_800_000),
    groups: readersOf.get(topic.name)?.size ?? 0,
    underReplicated: 0,
  };
}

export function find(name, what = `could not read topic "${name}"`) {
  return (
    topics.get(name) ??
    refuse(404, "UNKNOWN_TOPIC_OR_PARTITION", what, "this server does not host this topic-partition")
  );
}

function detail(topic) {
  const rate = rates.get(topic.name)?.inMessages ?? 0;
  return {
    ...topicRow(topic),
    topicId: topic.topicId,
    partitionList: topic.parts.map((part) => ({
      partition: part.partition,
      leader: 1,
      leaderEpoch: 0,
      replicas: [1],
      isr: [1],
      beginOffset: part.begin,
      endOffset: part.end,
      sizeBytes: part.bytes,
      inMessages: rate / topic.parts.length,
    })),
  };
}

const CONFIGS = [
  [
    "cleanup.policy",
    "list",
    "delete",
    "What happens with old segments: delete, compact, or both.",
    ["delete", "compact", "compact,delete"],
  ],
  [
    "compression.type",
    "string",
    "producer",
    "The final compression type for a given topic.",
    ["producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"],
  ],
  [
    "retention.ms",
    "long",
    "604800000",
    "How long a log is kept before old segments are discarded; -1 for no limit.",
  ],
  [
    "retention.bytes",
    "long",
    "-1",
    "How large a partition can grow before old segments are discarded; -1 for no limit.",
  ],
  ["max.message.bytes", "int", "1048588", "The largest record batch size allowed."],
  ["min.insync.replicas", "int", "1", "How many replicas must acknowledge a write with acks=all."],
  ["segment.bytes", "int", "1073741824", "The segment file size for the log."],
  ["segment.ms", "long", "604800000", "After this time the log is rolled even if the segment is not full."],
  [
    "message.timestamp.type",
    "string",
    "CreateTime",
    "Whether the timestamp is the creation time or the append time.",
    ["CreateTime", "LogAppendTime"],
  ],
  ["delete.retention.ms", "long", "86400000", "How long tombstones are kept in compacted topics."],
  ["min.cleanable.dirty.ratio", "double", "0.5", "How often the log compactor attempts to clean the log."],
  [
    "unclean.leader.election.enable",
    "boolean",
    "false",
    "Whether replicas that are not in sync may become leader, with loss of data.",
  ],
  [
    "durability",
    "string",
    "sync",
    "When a write is acknowledged: on disk (sync) or in memory of the replicas (replicated).",
    ["sync", "replicated"],
  ],
];
export function configEntries(own, source = "topic") {
  return CONFIGS.map(([name, type, defaultValue, documentation, allowed]) => ({
    name,
    value: own[name] ?? defaultValue,
    defaultValue,
    source: own[name] === undefined ? "default" : source,
    type,
    documentation,
    readOnly: false,
    sensitive: false,
    overridden: own[name] !== undefined,
    allowed: allowed ?? null,
  }));
}
export function changeConfigs(own, change, what) {
  for (const [name, value] of Object.entries(change.set ?? {})) {
    const known = CONFIGS.find((config) => config[0] === name);
    if (!known) refuse(400, "INVALID_CONFIG", what, `unknown topic config name: ${name}`, name);
    if (["int", "long"].includes(known[1]) && !/^-?\d+$/.test(value))
      refuse(400, "INVALID_CONFIG", what, `${name} must be a whole number, not "${value}"`, name);
    own[name] = value;
  }
  for (const name of change.reset ?? []) delete own[name];
}

function create(body) {
  const what = `could not create topic "${body.name}"`;
  if (topics.has(body.name)) refuse(409, "TOPIC_ALREADY_EXISTS", what, "a topic of this name exists", "name");
  if (!/^[\w.-]{1,249}$/.test(body.name))
    refuse(400, "INVALID_TOPIC_EXCEPTION", what, "the name has characters that are not allowed", "name");
  const configs = {};
  changeConfigs(configs, { set: body.configs }, what);
  return createTopic(body.name, { partitions: body.partitions > 0 ? body.partitions : 1, configs });
}

export const topicRoutes = [
  [
    "GET",
    "/topics",
    ({ response, query }) => {
      const wanted = (query.get("q") ?? "").toLowerCase();
      const rows = [];
      for (const topic of topics.values()) {
        if (topic.internal && query.get("internal") !== "true") continue;
        if (topic.name.toLowerCase().includes(wanted)) rows.push(topicRow(topic));
      }
      ok(
        response,
        page(rows, query, "name", (row) => row.name),
      );
    },
  ],
  ["POST", "/topics", async ({ response, body }) => ok(response, topicRow(create(JSON.parse(await body()))))],
  ["GET", "/topics/{topic}", ({ response, names }) => ok(response, detail(find(names[0])))],
  [
    "DELETE",
    "/topics/{topic}",
    ({ response, names, query }) => {
      find(names[0], `could not delete topic "${names[0]}"`);
      if (query.get("confirm") !== names[0])
        refuse(
          409,
          "CONFIRMATION_MISSING",
          `could not delete topic "${names[0]}"`,
          "the name has to be given once more",
        );
      topics.delete(names[0]);
      ok(response, undefined);
    },
  ],
  [
    "POST",
    "/topics/{topic}/partitions",
    async ({ response, names, body }) => {
      const topic = find(names[0]);
      const { count } = JSON.parse(await body());
      if (count <= topic.parts.length)
        refuse(
          400,
          "INVALID_PARTITIONS",
          `could not add partitions to "${topic.name}"`,
          `there are ${topic.parts.length} already, and partitions cannot be taken away`,
          "count",
        );
      while (topic.parts.length < count)
        topic.parts.push({ partition: topic.parts.length, begin: 0, end: 0, messages: [], bytes: 0 });
      ok(response, detail(topic));
    },
  ],
  [
    "POST",
    "/topics/{topic}/purge",
    ({ response, names }) => {
      const topic = find(names[0]);
      for (const part of topic.parts) {
        part.begin = part.end;
        part.messages = [];
        part.bytes = 0;
      }
      ok(response, {
        items: topic.parts.map((part) => ({ partition: part.partition, beginOffset: part.begin })),
      });
    },
  ],
  [
    "POST",
    "/topics/{topic}/clone",
    async ({ response, names, body }) => {
      const topic = find(names[0]);
      ok(
        response,
        topicRow(
          create({
            name: JSON.parse(await body()).name,
            partitions: topic.parts.length,
            configs: topic.configs,
          }),
        ),
      );
    },
  ],
  [
    "GET",
    "/topics/{topic}/groups",
    ({ response, names }) => {
      find(names[0]);
      const items = [...groups.values()]
        .filter((group) => group.topics.includes(names[0]))
        .map((group) => ({
          group: group.name,
          lag: groupLag(group),
          lagSeconds: lagSeconds(group),
          ...trend(group),
          state: group.members.length ? "Stable" : "Empty",
          members: group.members.length,
        }));
      ok(response, { items });
    },
  ],
  [
    "GET",
    "/topics/{topic}/fields",
    ({ response, names }) => {
      const topic = find(names[0]);
      const items = new Map();
      const walk = (path, value) => {
        const type = value === null ? "null" : Array.isArray(value) ? "array" : typeof value;
        if (type === "object")
          for (const [name, inner] of Object.entries(value)) walk(`${path}.${name}`, inner);
        else if (type === "array") for (const inner of value.slice(0, 1)) walk(`${path}[*]`, inner);
        else if (!items.has(path)) items.set(path, { path, type, example: String(value) });
      };
      const sample = topic.parts.flatMap((part) => part.messages.slice(-5));
      for (const message of sample)
        if (message.value?.format === "json") walk("value", JSON.parse(message.value.text));
      ok(response, { items: [...items.values()], sampled: sample.length });
    },
  ],
  [
    "GET",
    "/topics/{topic}/configs",
    ({ response, names }) => ok(response, { items: configEntries(find(names[0]).configs) }),
  ],
  [
    "PATCH",
    "/topics/{topic}/configs",
    async ({ response, names, body }) => {
      const topic = find(names[0]);
      changeConfigs(
        topic.configs,
        JSON.parse(await body()),
        `could not change the configuration of "${topic.name}"`,
      );
      ok(response, { items: configEntries(topic.configs) });
    },
  ],
  ["GET", "/topic-configs", ({ response }) => ok(response, { items: configEntries({}) })],
];
