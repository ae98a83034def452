import { ok, refuse } from "./answers.mjs";
import { changeConfigs, configEntries } from "./topics.mjs";
import { startedAt, topics } from "./world.mjs";

const own = {};
function broker() {
  const partitions = [...topics.values()].reduce((sum, topic) => sum + topic.parts.length, 0);
  const sizeBytes = [...topics.values()].reduce(
    (sum, topic) => sum + topic.parts.reduce((bytes, part) => bytes + part.bytes, 0),
    0,
  );
  return {
    id: 1,
    host: "localhost",
    port: 9092,
    rack: null,
    roles: ["broker", "controller"],
    isController: true,
    partitions,
    leaders: partitions,
    sizeBytes,
    logDirs: [
      {
        path: "data",
        online: true,
        error: null,
        totalBytes: 240 * 2 ** 30,
        usableBytes: 179 * 2 ** 30,
        sizeBytes,
        partitions,
        durability: {
          mode: "sync",
          commitsPerSecond: 210 + 20 * Math.sin(Date.now() / 4000),
          commitMs: 0.4,
          dirtyBytes: 3_400_000,
          journalUncoveredBytes: 9_100_000,
        },
      },
    ],
    process: {
      cpuCores: 0.06,
      residentBytes: 41 * 2 ** 20,
      threads: 9,
      connections: 24,
      uptimeSeconds: (Date.now() - startedAt) / 1000,
    },
  };
}
const find = (id) =>
  id === "1" || id === "default"
    ? broker()
    : refuse(404, "NOT_FOUND", `could not describe broker ${id}`, "there is no such broker");

export const clusterRoutes = [
  [
    "GET",
    "/cluster",
    ({ response }) =>
      ok(response, {
        clusterId: "mock-cluster",
        controllerId: 1,
        brokers: [broker()],
        features: [
          { name: "metadata.version", finalized: 29, supportedMin: 7, supportedMax: 29 },
          { name: "group.version", finalized: 1, supportedMin: 0, supportedMax: 1 },
          { name: "transaction.version", finalized: 2, supportedMin: 0, supportedMax: 2 },
        ],
        quorum: {
          leaderId: 1,
          leaderEpoch: 3,
          highWatermark: 4_211,
          voters: [{ id: 1, endOffset: 4_211, lagMs: 0 }],
          observers: [],
        },
      }),
  ],
  ["GET", "/brokers/{id}", ({ response, names }) => ok(response, find(names[0]))],
  [
    "GET",
    "/brokers/{id}/configs",
    ({ response, names }) => ok(response, { items: find(names[0]) && configEntries(own, "broker") }),
  ],
  [
    "PATCH",
    "/brokers/{id}/configs",
    async ({ response, names, body }) => {
      changeConfigs(
        own,
        JSON.parse(await body()),
        `could not change the configuration of broker ${names[0]}`,
      );
      ok(response, { items: configEntries(own, "broker") });
    },
  ],
];
