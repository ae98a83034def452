// Stands in for the back end while the front end is made and tested: docs/console-api.md, with a made-up cluster.
//
//   node mock/server.mjs [--port 27002] [--dist dist] [--topics 10000] [--groups 5000]
import { readFileSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { WebSocketServer } from "ws";
import { alertRoutes, tickAlerts } from "./alerts.mjs";
import { clusterRoutes } from "./cluster.mjs";
import { fail, ok } from "./answers.mjs";
import { groupRoutes } from "./groups.mjs";
import { openLive } from "./live.mjs";
import { messageRoutes } from "./messages.mjs";
import { overviewRoutes, recordOverview } from "./overview.mjs";
import { panelRoutes } from "./panels.mjs";
import { topicRoutes } from "./topics.mjs";
import { grow, measure, step } from "./world.mjs";

const options = { port: 27_002, dist: "", topics: 0, groups: 0 };
for (let index = 2; index < process.argv.length; index += 2) {
  const name = process.argv[index].replace(/^--/, "");
  if (!(name in options)) throw new Error(`unknown option --${name}`);
  options[name] =
    typeof options[name] === "number" ? Number(process.argv[index + 1]) : process.argv[index + 1];
}
grow(options.topics, options.groups);

const STEP_MS = 50;
setInterval(() => step(STEP_MS / 1000), STEP_MS);
setInterval(() => {
  measure();
  recordOverview();
  tickAlerts();
}, 1_000);
measure();
recordOverview();

const ROUTES = [
  ...overviewRoutes,
  ...topicRoutes,
  ...messageRoutes,
  ...groupRoutes,
  ...clusterRoutes,
  ...panelRoutes,
  ...alertRoutes,
].map(([method, path, run]) => ({
  method,
  run,
  pattern: new RegExp(`^/api${path.replaceAll(/\{\w+\}/g, "([^/]+)")}$`),
}));
const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
  ".woff2": "font/woff2",
  ".txt": "text/plain; charset=utf-8",
};
const CSP =
  "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

const server = createServer(async (request, response) => {
  const url = new URL(request.url, "http://localhost");
  if (!url.pathname.startsWith("/api/")) return serveFile(url.pathname, response);
  for (const route of ROUTES) {
    const match = route.method === request.method && url.pathname.match(route.pattern);
    if (!match) continue;
    try {
      const names = match.slice(1).map(decodeURIComponent);
      await route.run({
        request,
        response,
        url,
        names,
        query: url.searchParams,
        body: () => readBody(request),
      });
    } catch (error) {
      if (!error.status) console.error(error);
      fail(
        response,
        error.status ?? 500,
        error.code ?? "INTERNAL",
        error.what ?? request.url,
        error.why ?? String(error),
        error.field,
      );
    }
    return;
  }
  fail(response, 404, "NOT_FOUND", request.url, "there is no such address");
});

function serveFile(path, response) {
  if (!options.dist) return ok(response, "start the mock with --dist, or use vite");
  let file = join(options.dist, normalize(path));
  const isAsset = path.startsWith("/assets/");
  if (path === "/" || (!isAsset && !statSync(file, { throwIfNoEntry: false })?.isFile()))
    file = join(options.dist, "index.html");
  response.setHeader("content-security-policy", CSP);
  response.setHeader("cache-control", isAsset ? "public, max-age=31536000, immutable" : "no-cache");
  try {
    const content = readFileSync(file);
    response.setHeader("content-type", TYPES[extname(file)] ?? "application/octet-stream");
    response.end(content);
  } catch {
    response.statusCode = 404;
    response.end("not found");
  }
}

async function readBody(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString("utf8");
}

const sockets = new WebSocketServer({ noServer: true });
server.on("upgrade", (request, socket, head) => {
  if (request.url !== "/api/live") return socket.destroy();
  sockets.handleUpgrade(request, socket, head, (client) => openLive(client));
});
server.listen(options.port, "127.0.0.1", () =>
  console.log(`listening on http://127.0.0.1:${server.address().port}`),
);
