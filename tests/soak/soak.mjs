#!/usr/bin/env node
// Everything at once for long: broker, console and all demos in one process, three writers, ten consumers of one
// group, and the process stopped or killed at random. At the end nothing that was acknowledged may be missing, the
// memory must not have grown, and no log may hold an error.
//
//   node tests/soak/soak.mjs --minutes 60 [--binary target/release/afluente] [--seed 1] [--port 9192] [--rate 300]
//
// Needs Linux and Node. A run with the same seed restarts at the same times in the same way. Exit code 1: it failed.
import { spawn, spawnSync } from "node:child_process";
import { createWriteStream, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";

const ROOT = new URL("../..", import.meta.url).pathname;
const { values: options } = parseArgs({
  options: {
    minutes: { type: "string", default: "60" },
    binary: { type: "string", default: join(ROOT, "target/release/afluente") },
    seed: { type: "string", default: "1" },
    port: { type: "string", default: "9192" },
    rate: { type: "string", default: "300" },
  },
});
const WRITERS = 3;
const CONSUMERS = 10;
const TOPIC = "soak";
/** Between two restarts, in seconds. */
const LIFE_SECONDS = [20, Math.max(25, Math.min(120, Number(options.minutes) * 10))];
/** After the last write, until everything has to be there. */
const SETTLE_SECONDS_MAX = 120;
/** Memory counts from this age of a process on, when its caches are filled. */
const WARM_SECONDS = 15;
const MEMORY_GROWTH_MAX = 1.3;

const port = Number(options.port);
const bootstrap = `127.0.0.1:${port}`;
const folder = mkdtempSync(join(tmpdir(), "afluente-soak-"));
const started = Date.now();
const endsAt = started + Number(options.minutes) * 60_000;
const failures = [];
const say = (text) =>
  console.log(`${String(Math.round((Date.now() - started) / 1000)).padStart(5)} s  ${text}`);
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** xorshift32: a seed gives the same restarts again. */
let state = Number(options.seed) * 2_654_435_761 || 1;
function random() {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return (state >>> 0) / 2 ** 32;
}

/** Lines of all logs that are more than information, by what they say without their numbers. */
const complaints = { ERROR: new Map(), WARN: new Map() };
function look(line, who) {
  const level = line.match(/\b(ERROR|WARN)\b/)?.[1] ?? (/panicked at/.test(line) ? "ERROR" : null);
  if (!level) return;
  const kind = `${who}: ${line.replace(/^\S+\s+/, "").replaceAll(/[0-9a-f-]{36}|\d+/g, "#")}`.slice(0, 220);
  complaints[level].set(kind, (complaints[level].get(kind) ?? 0) + 1);
}

const all = new Set();
function run(who, args, { isLog = true } = {}) {
  const child = spawn(options.binary, args, { stdio: ["pipe", "pipe", "pipe"] });
  all.add(child);
  const file = createWriteStream(join(folder, `${who}.log`), { flags: "a" });
  const note = (line) => {
    file.write(`${line}\n`);
    look(line, who.replace(/-\d+$/, ""));
  };
  createInterface({ input: child.stderr }).on("line", note);
  if (isLog) createInterface({ input: child.stdout }).on("line", note);
  child.ended = new Promise((resolve) =>
    child.on("exit", (code, signal) => {
      all.delete(child);
      resolve({ code, signal });
    }),
  );
  // A process that is gone does not read: that is told by how it ended.
  child.stdin.on("error", () => {});
  return child;
}
process.on("exit", () => {
  for (const child of all) child.kill("SIGKILL");
});

// The process under test.
const data = join(folder, "data");
let server = null;
let bornAt = 0;
async function startServer() {
  const args = ["serve", "--data-dir", data, "--listen", bootstrap, "--demo"];
  args.push("--console", `127.0.0.1:${port + 1}`, "--override", `http.listener=127.0.0.1:${port + 2}`);
  server = run("server", args);
  bornAt = Date.now();
  for (;;) {
    const answer = await fetch(`http://127.0.0.1:${port + 1}/api/overview`).catch(() => null);
    if (answer?.ok) return Date.now() - bornAt;
    if (server.exitCode !== null)
      throw new Error(`the server ended with ${server.exitCode}; see ${folder}/server.log`);
    await sleep(20);
  }
}

/** Memory of the process that lives now: age in seconds, MiB. */
const memory = [];
function weigh() {
  const age = (Date.now() - bornAt) / 1000;
  try {
    const status = readFileSync(`/proc/${server.pid}/status`, "utf8");
    const mib = Number(status.match(/VmRSS:\s+(\d+)/)[1]) / 1024;
    if (age >= WARM_SECONDS) memory.push({ at: Date.now(), mib });
  } catch {
    // It is being started again.
  }
}

await startServer();
say(`${options.binary} runs, data and logs in ${folder}`);
const made = spawnSync(options.binary, [
  ...["topics", "--bootstrap-server", bootstrap, "--create", "--topic", TOPIC, "--partitions", "12"],
]);
if (made.status !== 0) throw new Error(String(made.stderr));

// Who reads: each number of each writer has to come at least once.
const seen = Array.from({ length: WRITERS }, () => new Map());
let received = 0;
let repeated = 0;
const consumers = Array.from({ length: CONSUMERS }, (_, index) => {
  const args = ["console-consumer", "--bootstrap-server", bootstrap, "--topic", TOPIC, "--group", "soakers"];
  const child = run(`consumer-${index}`, [...args, "--from-beginning"], { isLog: false });
  createInterface({ input: child.stdout }).on("line", (line) => {
    const match = line.match(/^(\d+):(\d+):/);
    if (!match) return failures.push(`a consumer got a line that nobody wrote: ${line.slice(0, 80)}`);
    received += 1;
    const numbers = seen[Number(match[1])];
    const number = Number(match[2]);
    // 32 numbers a word.
    const word = numbers.get(number >>> 5) ?? 0;
    const bit = 1 << (number & 31);
    if (word & bit) repeated += 1;
    else numbers.set(number >>> 5, word | bit);
  });
  return child;
});

// Who writes: numbered lines, sent with acks=all; who ends with 0 has been told that all of them are there.
const writers = Array.from({ length: WRITERS }, (_, index) => {
  const args = ["console-producer", "--bootstrap-server", bootstrap, "--topic", TOPIC];
  // A restart may take longer than the tool's short request timeout.
  args.push("--producer-property", "acks=all", "--producer-property", "delivery.timeout.ms=120000");
  args.push("--producer-property", "request.timeout.ms=5000", "--producer-property", "max.block.ms=120000");
  return { index, child: run(`writer-${index}`, args), written: 0 };
});
const STEP_MS = 50;
const filler = "x".repeat(100);
async function write(writer) {
  let due = 0;
  while (Date.now() < endsAt && writer.child.exitCode === null) {
    due += (Number(options.rate) * STEP_MS) / 1000;
    let lines = "";
    while (writer.written < Math.floor(due)) {
      lines += `${writer.index}:${writer.written}:${filler}\n`;
      writer.written += 1;
    }
    if (lines && !writer.child.stdin.write(lines)) {
      await Promise.race([
        new Promise((resolve) => writer.child.stdin.once("drain", resolve)),
        writer.child.ended,
      ]);
    }
    await sleep(STEP_MS);
  }
}
const writing = writers.map(write);

// Restarts, until the time is up.
let [stops, kills] = [0, 0];
const starts = [];
const weighing = setInterval(weigh, 1_000);
let nextAt = Date.now() + 1_000 * (LIFE_SECONDS[0] + random() * (LIFE_SECONDS[1] - LIFE_SECONDS[0]));
let toldAt = 0;
while (Date.now() < endsAt) {
  await sleep(250);
  if (server.exitCode !== null || server.signalCode !== null) {
    failures.push(`the server ended by itself with ${server.exitCode ?? server.signalCode}`);
    break;
  }
  if (Date.now() >= nextAt && nextAt < endsAt - 10_000) {
    const isKill = random() < 0.5;
    server.kill(isKill ? "SIGKILL" : "SIGTERM");
    const { code } = await server.ended;
    if (!isKill && code !== 0) failures.push(`told to stop, the server ended with ${code}`);
    if (isKill) kills += 1;
    else stops += 1;
    starts.push(await startServer());
    nextAt = Date.now() + 1_000 * (LIFE_SECONDS[0] + random() * (LIFE_SECONDS[1] - LIFE_SECONDS[0]));
  }
  if (Date.now() - toldAt > 60_000) {
    toldAt = Date.now();
    const written = writers.reduce((sum, writer) => sum + writer.written, 0);
    const mib = memory.at(-1)?.mib.toFixed(0) ?? "?";
    say(`${written} written, ${received} read, ${stops} stops, ${kills} kills, ${mib} MiB`);
  }
}
clearInterval(weighing);
await Promise.all(writing);
for (const writer of writers) {
  writer.child.stdin.end();
  const { code, signal } = await writer.child.ended;
  if (code !== 0)
    failures.push(`writer ${writer.index} ended with ${code ?? signal}: it was not told that all is written`);
}
say("all writers are done; waiting for the readers");
const isThere = (index, number) => ((seen[index].get(number >>> 5) ?? 0) & (1 << (number & 31))) !== 0;
const missing = () =>
  writers.flatMap(({ index, written }) =>
    Array.from({ length: written }, (_, number) => number)
      .filter((number) => !isThere(index, number))
      .map((number) => `${index}:${number}`),
  );
const settleBy = Date.now() + SETTLE_SECONDS_MAX * 1_000;
while (Date.now() < settleBy && missing().length > 0) await sleep(1_000);
const lost = missing();
if (lost.length > 0)
  failures.push(`${lost.length} acknowledged messages never came: ${lost.slice(0, 5).join(", ")} …`);
for (const [index, child] of consumers.entries()) {
  if (child.exitCode !== null) failures.push(`consumer ${index} ended by itself with ${child.exitCode}`);
  child.kill("SIGTERM");
}

// The demo's own chain: each invoice that is older than a while is in the books.
async function recordsOf(topic) {
  const { messages } = await (await fetch(`http://127.0.0.1:${port + 1}/api/topics/${topic}`)).json();
  const args = ["console-consumer", "--bootstrap-server", bootstrap, "--topic", topic, "--from-beginning"];
  args.push("--max-messages", String(messages), "--timeout-ms", "20000");
  const { stdout, stderr } = spawnSync(options.binary, args, { encoding: "utf8", maxBuffer: 2 ** 31 - 1 });
  const lines = stdout.split("\n").filter((line) => line !== "");
  if (lines.length !== messages)
    failures.push(`${lines.length} of ${messages} records of ${topic} came: ${stderr}`);
  return lines.map((line) => JSON.parse(line));
}
const oldest = Date.now() - 5_000;
const finance = async () =>
  (await (await fetch(`http://127.0.0.1:${port + 1}/api/groups/finance`)).json()).offsets ?? [];
const ends = new Map((await finance()).map(({ partition, endOffset }) => [partition, endOffset]));
const bookedBy = Date.now() + SETTLE_SECONDS_MAX * 1_000;
const isBehind = async () =>
  (await finance()).some(({ partition, committed }) => (committed ?? 0) < (ends.get(partition) ?? 0));
while (Date.now() < bookedBy && (ends.size === 0 || (await isBehind()))) await sleep(500);
const invoices = (await recordsOf("invoices")).filter((invoice) => invoice.CreatedTime < oldest);
const booked = new Map();
for (const { InvoiceNumber } of await recordsOf("ledger"))
  booked.set(InvoiceNumber, (booked.get(InvoiceNumber) ?? 0) + 1);
const unbooked = invoices.filter(({ InvoiceNumber }) => !booked.has(InvoiceNumber));
if (invoices.length === 0) failures.push("the demo wrote no invoice");
if (unbooked.length > 0)
  failures.push(`${unbooked.length} of ${invoices.length} invoices are not in the ledger`);
server.kill("SIGTERM");
const { code } = await server.ended;
if (code !== 0) failures.push(`at the end the server stopped with ${code}`);

// The verdict.
const median = (numbers) => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)];
const third = Math.floor(memory.length / 3);
const early = median(memory.slice(0, third).map(({ mib }) => mib));
const late = median(memory.slice(-third).map(({ mib }) => mib));
const highest = Math.max(...memory.map(({ mib }) => mib));
if (late > early * MEMORY_GROWTH_MAX)
  failures.push(`memory grew from ${early.toFixed(0)} to ${late.toFixed(0)} MiB`);
const total = writers.reduce((sum, writer) => sum + writer.written, 0);
say(`written ${total}, read ${received} (${repeated} more than once), lost ${lost.length}`);
say(
  `invoices ${invoices.length}, not booked ${unbooked.length}, booked more than once ${[...booked.values()].filter((n) => n > 1).length}`,
);
say(
  `restarts: ${stops} stops, ${kills} kills; until the console answered: median ${median(starts) ?? "–"} ms, at most ${starts.length ? Math.max(...starts) : "–"} ms`,
);
say(
  `memory: first third ${early?.toFixed(0)} MiB, last third ${late?.toFixed(0)} MiB, highest ${highest.toFixed(0)} MiB`,
);
for (const [level, kinds] of Object.entries(complaints)) {
  for (const [kind, count] of kinds) say(`${level} ×${count}  ${kind}`);
}
if (complaints.ERROR.size > 0) failures.push("there are errors in the logs");
for (const failure of failures) say(`FAILED: ${failure}`);
if (failures.length === 0) {
  say("passed");
  rmSync(folder, { recursive: true, force: true });
} else {
  say(`data and logs stay in ${folder}`);
}
process.exit(failures.length === 0 ? 0 : 1);
