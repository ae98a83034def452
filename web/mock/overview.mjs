import { ok } from "./answers.mjs";
import { firingCount } from "./alerts.mjs";
import { bootId, groupLag, groups, lagSeconds, random, rates, startedAt, topics, trend } from "./world.mjs";

const history = [];

export function overview() {
  let inMessages = 0;
  let inBytes = 0;
  let partitions = 0;
  let sizeBytes = 0;
  for (const topic of topics.values()) {
    const rate = rates.get(topic.name);
    inMessages += rate?.inMessages ?? 0;
    inBytes += rate?.inBytes ?? 0;
    sizeBytes += rate?.bytes ?? 0;
    partitions += topic.parts.length;
  }
  const lagging = [...groups.values()]
    .map((group) => ({
      group: group.name,
      lag: groupLag(group),
      lagSeconds: lagSeconds(group),
      ...trend(group),
    }))
    .filter((group) => group.lag > 0)
    .sort((a, b) => b.lagSeconds - a.lagSeconds)
    .slice(0, 8);
  const jitter = () => 0.9 + random() * 0.3;
  return {
    asOf: Date.now(),
    problems: lagging
      .filter((group) => group.trend === "rising" && group.lagSeconds > 15)
      .map((group) => ({
        code: "GROUP_FALLING_BEHIND",
        severity: "warning",
        subject: group.group,
        value: group.lagSeconds,
      })),
    rates: {
      inMessages,
      inBytes,
      outMessages: inMessages * 2.6 * jitter(),
      outBytes: inBytes * 2.6 * jitter(),
      produceP50Ms: 0.6 * jitter(),
      produceP99Ms: 2.4 * jitter(),
      fetchP50Ms: 0.2 * jitter(),
      fetchP99Ms: 1.1 * jitter(),
    },
    totals: {
      brokers: 1,
      topics: topics.size,
      partitions,
      groups: groups.size,
      sizeBytes,
      underReplicated: 0,
      offline: 0,
    },
    disk: { usedBytes: 61 * 2 ** 30 + sizeBytes, totalBytes: 240 * 2 ** 30, fullInSeconds: null },
    topTopics: [...topics.values()]
      .map((topic) => ({
        name: topic.name,
        inMessages: rates.get(topic.name)?.inMessages ?? 0,
        inBytes: rates.get(topic.name)?.inBytes ?? 0,
        sizeBytes: rates.get(topic.name)?.bytes ?? 0,
      }))
      .filter((topic) => topic.inMessages > 0)
      .sort((a, b) => b.inMessages - a.inMessages)
      .slice(0, 8),
    laggingGroups: lagging,
    firingAlerts: firingCount(),
  };
}

export function recordOverview() {
  const { asOf, rates } = overview();
  if (history.length === 0) {
    // A past, so that charts are not empty at the start.
    for (let back = 600; back > 0; back--) {
      const wave = 1 + 0.3 * Math.sin(back / 14) + 0.1 * Math.sin(back / 3);
      history.push({
        t: asOf - back * 1000,
        inMessages: 280 * wave,
        inBytes: 92_000 * wave,
        outMessages: 730 * wave,
        outBytes: 240_000 * wave,
        produceP99Ms: 2.2 + wave / 3,
        fetchP99Ms: 0.9 + wave / 5,
      });
    }
  }
  history.push({ t: asOf, ...rates });
  if (history.length > 900) history.shift();
}

export const overviewRoutes = [
  [
    "GET",
    "/info",
    ({ response }) =>
      ok(response, {
        version: "0.1.0",
        clusterId: "mock-cluster",
        bootstrap: ["localhost:9092"],
        server: "afluente",
        readOnly: false,
        environment: null,
        demos: ["invoices", "orders", "flights"],
        warnings: [],
        startedAt,
        bootId,
      }),
  ],
  ["GET", "/overview", ({ response }) => ok(response, overview())],
  [
    "GET",
    "/overview/history",
    ({ response }) => {
      const columns = { t: [] };
      for (const name of ["inMessages", "inBytes", "outMessages", "outBytes", "produceP99Ms", "fetchP99Ms"])
        columns[name] = [];
      for (const point of history)
        for (const name of Object.keys(columns)) columns[name].push(point[name] ?? null);
      ok(response, columns);
    },
  ],
  [
    "GET",
    "/search",
    ({ response, query }) => {
      const wanted = (query.get("q") ?? "").toLowerCase();
      const hits = [
        ...[...topics.keys()].map((name) => ({ kind: "topic", id: name, title: name })),
        ...[...groups.keys()].map((name) => ({ kind: "group", id: name, title: name })),
        { kind: "broker", id: "1", title: "1 · localhost:9092" },
      ];
      ok(response, {
        items: hits
          .filter((hit) => hit.title.toLowerCase().includes(wanted))
          .slice(0, Number(query.get("limit") ?? 20)),
      });
    },
  ],
];
