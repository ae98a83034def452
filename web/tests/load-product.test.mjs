// Much of everything on the product itself. Broker, back end, a producer and Chromium share the machine here, so times
// are told, and held against their limits where nothing else runs: `npm run load`.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { after, before, test } from "node:test";
import { afluentePath, chromiumPath, openBrowser, startAfluente } from "./browser.mjs";
import { openKafka } from "./kafka.mjs";
import { firstRowsMs, GROUPS, LISTS, TOPICS, tailFrames } from "./load.mjs";
import { ask, until } from "./steps.mjs";

const MESSAGES_PER_SECOND = 50_000;
const isAlone = process.env.LOAD_ALONE === "1";

const skip = !chromiumPath ? "no Chromium" : afluentePath ? false : "afluente was not built";
let server;
let browser;
before(async () => {
  if (skip) return;
  [server, browser] = await Promise.all([startAfluente({ hasDemo: false }), openBrowser()]);
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

test("a tail at 50,000 messages a second stays responsive and bounded", { skip }, async () => {
  const stop = await pour();
  const { fps } = await tailFrames(browser.context, server.url, "firehose");
  stop();
  if (isAlone) assert.ok(fps >= 25, `${fps} frames a second`);
});

test("the first of 10,000 topics and 5,000 groups are there within a second", { skip }, async () => {
  await fill(server.bootstrap);
  await until(server.url, "/overview", ({ totals }) => totals.topics >= TOPICS && totals.groups >= GROUPS);
  for (const list of LISTS) {
    const ms = await firstRowsMs(browser.context, server.url, list);
    if (isAlone) assert.ok(ms < 1000, `${list[0]}: ${ms} ms`);
  }
});

async function fill(bootstrap) {
  const started = performance.now();
  const kafka = openKafka(bootstrap);
  const name = (index) => `topic-${String(index).padStart(5, "0")}`;
  for (let index = 0; index < TOPICS; index += 1_000) {
    await kafka.createTopics(
      Array.from({ length: 1_000 }, (_, next) => name(index + next)),
      1,
    );
  }
  while ((await kafka.findCoordinator("group-0")) !== 0) await new Promise((done) => setTimeout(done, 50));
  const commits = Array.from({ length: GROUPS }, (_, index) =>
    kafka.commit(`group-${index}`, name(index), 0),
  );
  for (const code of await Promise.all(commits)) assert.equal(code, 0);
  kafka.close();
  console.log(`${TOPICS} topics and ${GROUPS} groups made in ${(performance.now() - started).toFixed(0)} ms`);
}

/** Pours lines into a topic, 50,000 a second, until it is told to stop. */
async function pour() {
  await ask(server.url, "POST", "/topics", { name: "firehose", partitions: 6 });
  const args = ["console-producer", "--bootstrap-server", server.bootstrap, "--topic", "firehose"];
  const producer = spawn(afluentePath, args, { stdio: ["pipe", "ignore", "ignore"] });
  producer.stdin.on("error", () => {});
  let number = 0;
  let due = 0;
  let last = performance.now();
  const timer = setInterval(() => {
    const now = performance.now();
    // What it could not take is not caught up with.
    if (producer.stdin.writableLength > 4 << 20) {
      last = now;
      return;
    }
    due += ((now - last) * MESSAGES_PER_SECOND) / 1000;
    last = now;
    const lines = [];
    for (; due >= 1; due--)
      lines.push(`{"n":${number++},"station":"S${number % 97}","level":${number % 1000}}\n`);
    producer.stdin.write(lines.join(""));
  }, 20);
  return () => {
    clearInterval(timer);
    producer.kill("SIGKILL");
  };
}
