// Starts what the tests look at, and a Chromium to look with.
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
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

/** Broker, console and demo data in one process; stopped and started again it keeps its data and its ports. */
export async function startAfluente() {
  const folder = mkdtempSync(join(tmpdir(), "afluente-data-"));
  const [broker, console, metrics] = [await freePort(), await freePort(), await freePort()];
  let child = null;
  let output = "";
  const at = {
    url: `http://127.0.0.1:${console}`,
    output: () => output,
    start: async () => {
      child = spawn(
        afluentePath,
        [
          "serve",
          ...[
            "--data-dir",
            folder,
            "--listen",
            `127.0.0.1:${broker}`,
            "--console",
            `127.0.0.1:${console}`,
            "--demo",
          ],
          ...["--override", `http.listener=127.0.0.1:${metrics}`],
        ],
        { stdio: ["ignore", "pipe", "pipe"] },
      );
      for (const stream of [child.stdout, child.stderr]) {
        stream.on("data", (text) => {
          output += text;
        });
      }
      for (;;) {
        if (child.exitCode !== null) throw new Error(`afluente ended with ${child.exitCode}:\n${output}`);
        const answer = await fetch(`${at.url}/api/overview`).catch(() => null);
        if (answer?.ok) return;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    },
    /** As a power cut does it, as far as the process goes. */
    kill: () =>
      new Promise((resolve) => {
        child.on("exit", resolve);
        child.kill("SIGKILL");
      }),
    stop: async () => {
      if (child?.exitCode === null && child.signalCode === null) await at.kill();
      rmSync(folder, { recursive: true, force: true });
    },
  };
  await at.start();
  return at;
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
      complaints.push(`${message.type()}: ${message.text()}`);
  });
  page.on("pageerror", (error) => complaints.push(`exception: ${error.message}`));
  await page.goto(url);
  return { page, complaints };
}
