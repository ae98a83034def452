// Starts what the tests look at, and a Chromium to look with.
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

const WEB = new URL("..", import.meta.url).pathname;
const CANDIDATES = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

export const chromiumPath = process.env.CHROMIUM ?? CANDIDATES.find((path) => existsSync(path));

async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** The stand-in for the back end, with the built front end. */
export async function startMock(options = [], port = null) {
  const at = port ?? (await freePort());
  const child = spawn(
    process.execPath,
    ["mock/server.mjs", "--dist", "dist", "--port", String(at), ...options],
    {
      cwd: WEB,
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  await new Promise((resolve, reject) => {
    child.stdout.on("data", (text) => String(text).includes("listening on") && resolve());
    child.on("exit", (code) => reject(new Error(`the mock ended with ${code}`)));
  });
  return {
    port: at,
    url: `http://127.0.0.1:${at}`,
    stop: () =>
      new Promise((resolve) => {
        child.removeAllListeners("exit");
        child.on("exit", resolve);
        child.kill("SIGKILL");
      }),
  };
}

/** The product itself: `AFLUENTE`, or what cargo built last; null where it was not built, or has no console. */
export const afluentePath = (() => {
  const target = process.env.CARGO_TARGET_DIR ?? join(WEB, "../target");
  const path = process.env.AFLUENTE ?? join(target, "debug/afluente");
  if (!existsSync(path)) return null;
  return spawnSync(path, ["serve", "--help"], { encoding: "utf8" }).stdout?.includes("--console")
    ? path
    : null;
})();

/** Runs a program that writes somewhere, and waits until `isReady` says so; fails with its output if it ends before. */
async function startProgram(program, args, isReady) {
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
  const running = { child, output: "" };
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (text) => {
      running.output += text;
    });
  }
  let failure = null;
  child.on("error", (error) => {
    failure = error;
  });
  while (!(await isReady(running))) {
    if (failure) throw failure;
    if (child.exitCode !== null)
      throw new Error(`${program} ended with ${child.exitCode}:\n${running.output}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return running;
}

/** As a power cut does it, as far as the process goes. */
async function kill(child) {
  if (!child || child.exitCode !== null || child.signalCode !== null) return;
  await new Promise((resolve) => {
    child.on("exit", resolve);
    child.kill("SIGKILL");
  });
}

/** Broker and console in one process, with the demo's data unless `hasDemo` says no; stopped and started again it keeps
    its data and its ports. */
export async function startAfluente({ hasDemo = true, more = [] } = {}) {
  const folder = mkdtempSync(join(tmpdir(), "afluente-data-"));
  const [broker, console, metrics] = [await freePort(), await freePort(), await freePort()];
  let running = null;
  const at = {
    url: `http://127.0.0.1:${console}`,
    bootstrap: `127.0.0.1:${broker}`,
    output: () => running?.output ?? "",
    pid: () => running?.child.pid,
    start: async () => {
      const args = ["serve", "--data-dir", folder, "--listen", at.bootstrap];
      args.push("--console", `127.0.0.1:${console}`, "--override", `http.listener=127.0.0.1:${metrics}`);
      if (hasDemo) args.push("--demo");
      running = await startProgram(afluentePath, [...args, ...more], async () => {
        const answer = await fetch(`${at.url}/api/overview`).catch(() => null);
        return answer?.ok;
      });
    },
    kill: () => kill(running?.child),
    stop: async () => {
      await kill(running?.child);
      rmSync(folder, { recursive: true, force: true });
    },
  };
  await at.start();
  return at;
}

/** The jars of Apache Kafka, where Java and they are at hand. */
export const apacheLibs = (() => {
  const cache = process.env.AFLUENTE_CACHE ?? join(homedir(), ".cache/afluente");
  const libs = join(cache, "kafka-4.3.1/libs");
  const hasJava = spawnSync("java", ["-version"]).status === 0;
  return hasJava && existsSync(libs) ? libs : null;
})();

/** Apache Kafka as a cluster of one, and our console in front of it. */
export async function startApache() {
  const folder = mkdtempSync(join(tmpdir(), "afluente-apache-"));
  const [broker, controller] = [await freePort(), await freePort()];
  const settings = join(folder, "server.properties");
  writeFileSync(
    settings,
    [
      "process.roles=broker,controller",
      "node.id=1",
      `listeners=PLAINTEXT://127.0.0.1:${broker},CONTROLLER://127.0.0.1:${controller}`,
      `advertised.listeners=PLAINTEXT://127.0.0.1:${broker},CONTROLLER://127.0.0.1:${controller}`,
      "controller.listener.names=CONTROLLER",
      `controller.quorum.bootstrap.servers=127.0.0.1:${controller}`,
      `log.dirs=${join(folder, "data")}`,
      "offsets.topic.replication.factor=1",
      "offsets.topic.num.partitions=4",
      "transaction.state.log.replication.factor=1",
      "transaction.state.log.min.isr=1",
      "share.coordinator.state.topic.replication.factor=1",
      "share.coordinator.state.topic.min.isr=1",
      "group.initial.rebalance.delay.ms=0",
    ].join("\n"),
  );
  const java = (heap, name, ...args) => [
    ...["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", heap],
    `-Dlog4j2.configurationFile=${join(WEB, "../tests/java/log4j2.properties")}`,
    "-Dafluente.log.level=INFO",
    ...["-cp", join(apacheLibs, "*"), name, ...args],
  ];
  const format = ["format", "--standalone", "-t", "AflueNteTestClusterIdA", "-c", settings];
  const formatted = spawnSync("java", java("-Xmx256m", "kafka.tools.StorageTool", ...format));
  if (formatted.status !== 0) throw new Error(`the data could not be formatted: ${formatted.stderr}`);
  const kafka = await startProgram("java", java("-Xmx768m", "kafka.Kafka", settings), ({ output }) =>
    output.includes("Kafka Server started"),
  );
  const bootstrap = `127.0.0.1:${broker}`;
  const args = ["console", "--bootstrap-server", bootstrap, "--listen", "127.0.0.1:0"];
  const console = await startProgram(afluentePath, args, ({ output }) => output.includes("console is on"));
  return {
    url: console.output.match(/console is on (http:\/\/[\d.:]+)/)[1],
    bootstrap,
    stop: async () => {
      await Promise.all([kill(console.child), kill(kafka.child)]);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

export async function openBrowser() {
  const profile = mkdtempSync(join(tmpdir(), "afluente-chromium-"));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: chromiumPath,
    headless: true,
    viewport: { width: 1360, height: 860 },
    acceptDownloads: true,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
  return {
    context,
    close: async () => {
      await context.close();
      rmSync(profile, { recursive: true, force: true });
    },
  };
}

/** A page that keeps what it complained about. */
export async function openPage(context, url) {
  const page = await context.newPage();
  const complaints = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type()))
      complaints.push(`${message.type()}: ${message.text()} ${message.location().url}`);
  });
  page.on("pageerror", (error) => complaints.push(`exception: ${error.message}`));
  await page.goto(url);
  return { page, complaints };
}
