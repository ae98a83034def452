// Says whether dist/ is what the sources make: builds into a folder of its own and compares, byte by byte.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "vite";

const WEB = new URL("..", import.meta.url).pathname;

const folder = mkdtempSync(join(tmpdir(), "afluente-web-"));
await build({
  root: WEB,
  configFile: join(WEB, "vite.config.ts"),
  logLevel: "warn",
  build: { outDir: folder, emptyOutDir: true },
});
const files = (root) =>
  readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length).replace(/^\//, ""))
    .sort();
const read = (root, name) => readFileSync(join(root, name));

const committed = join(WEB, "dist");
const wrong = [];
for (const name of new Set([...files(committed), ...files(folder)])) {
  if (!files(committed).includes(name)) wrong.push(`${name} is missing`);
  else if (!files(folder).includes(name)) wrong.push(`${name} is left over`);
  else if (!read(committed, name).equals(read(folder, name))) wrong.push(`${name} differs`);
}
rmSync(folder, { recursive: true });
if (wrong.length > 0) {
  console.error(`dist/ is not what the sources make (npm run build):\n  ${wrong.join("\n  ")}`);
  process.exit(1);
}
if (files(committed).some((name) => name.endsWith(".map"))) {
  console.error("dist/ has source maps");
  process.exit(1);
}
console.log("dist/ is what the sources make");
