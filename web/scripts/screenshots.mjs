// Takes the pictures of the documentation: npm run screenshots, with afluente built. Each shows the demo, live.
import { mkdirSync } from "node:fs";
import { openBrowser, startAfluente } from "../tests/browser.mjs";

const PICTURES = [
  { name: "overview", path: "/?lang=en&theme=light", ready: ".row .figure" },
  { name: "messages", path: "/topics/invoices?lang=en&theme=dark&from=oldest&at=0:3", ready: ".json" },
  { name: "group", path: "/groups/{group}?lang=es&theme=light", ready: ".assignment" },
  { name: "live", path: "/live?lang=pt&theme=dark", ready: ".barlist td" },
];
/** Until charts have something to show. */
const FILL_MS = 75_000;

const folder = new URL("../../docs/images/", import.meta.url).pathname;
mkdirSync(folder, { recursive: true });
const server = await startAfluente();
const { context, close } = await openBrowser();
try {
  await new Promise((resolve) => setTimeout(resolve, FILL_MS));
  const { items } = await (await fetch(`${server.url}/api/groups?sort=-members`)).json();
  for (const { name, path, ready } of PICTURES) {
    const page = await context.newPage();
    await page.setViewportSize({ width: 1280, height: 800 });
    await page.goto(server.url + path.replace("{group}", encodeURIComponent(items[0].group)));
    await page.waitForSelector(ready);
    await page.waitForTimeout(2_500);
    await page.screenshot({ path: `${folder}console-${name}.png` });
    console.log(`docs/images/console-${name}.png`);
    await page.close();
  }
} finally {
  await close();
  await server.stop();
}
