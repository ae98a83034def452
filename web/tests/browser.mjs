// Starts what the tests look at, and a Chromium to look with.
import { spawn } from "node:child_process";
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
