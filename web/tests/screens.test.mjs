// Every screen, in three languages and both themes: no accessibility finding, nothing in the console, no foreign
// request; and a first paint that is small. On the product where it was built, else on the stand-in.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { gzipSync } from "node:zlib";
import { afluentePath, chromiumPath, openBrowser, openPage, startAfluente, startMock } from "./browser.mjs";
import { looksClean } from "./looks.mjs";
import { ask, furnish } from "./steps.mjs";

const FIRST_PAINT_BYTES_MAX = 300 * 1024;

const SCREENS = [
  { name: "overview", path: "/", ready: ".stat" },
  { name: "topics", path: "/topics", ready: "[data-row-link]" },
  { name: "topics, none found", path: "/topics?q=zzz", ready: ".empty" },
  { name: "create topic", path: "/topics?create=1", ready: "[role=dialog] .command" },
  { name: "partitions", path: "/topics/invoices?tab=partitions", ready: "tbody tr" },
  { name: "consumers", path: "/topics/invoices?tab=consumers", ready: "[data-row-link]" },
  { name: "topic configuration", path: "/topics/invoices?tab=configs", ready: ".config" },
  { name: "no such topic", path: "/topics/nothing", ready: "[role=alert]", failsWith: 404 },
  { name: "messages", path: "/topics/invoices", ready: ".message[aria-selected]" },
  { name: "message", path: "/topics/invoices?from=oldest&at=0:0", ready: ".json" },
  {
    name: "filtered messages",
    path: "/topics/invoices?filters=1&filter=value.TotalAmount%20%3E%205&columns=value.StoreID",
    ready: ".message[aria-selected]",
  },
  { name: "live tail", path: "/topics/invoices?from=live", ready: ".message[aria-selected]" },
  { name: "messages of an empty topic", path: "/topics/empty-topic", ready: ".empty" },
  { name: "group", path: "/groups/shipment", ready: ".assignment" },
  { name: "reset offsets", path: "/groups/nightly-report?reset=1", ready: "[role=dialog] td strong" },
  { name: "groups", path: "/groups", ready: "[data-row-link]" },
  { name: "cluster", path: "/cluster", ready: ".facts" },
  { name: "quorum", path: "/cluster?tab=quorum", ready: ".facts" },
  { name: "broker configuration", path: "/cluster?tab=configs", ready: ".config" },
  { name: "live dashboard", path: "/live", ready: ".barlist td" },
  { name: "flights", path: "/live?dashboard=demo-flights", ready: ".barlist td" },
  {
    name: "new panel",
    path: "/live?dashboard={mine}",
    ready: ".empty, [role=dialog]",
    open: "main .empty button",
  },
  { name: "alert rules", path: "/alerts", ready: "tbody tr" },
  { name: "alert history", path: "/alerts?tab=history", ready: "tbody tr" },
  { name: "new alert rule", path: "/alerts?new=disk", ready: "[role=dialog] .chart" },
  { name: "palette", path: "/", ready: ".stat", open: ".searchbox" },
  { name: "keyboard help", path: "/", ready: ".stat", press: "?" },
  { name: "nowhere", path: "/nowhere", ready: ".empty" },
];

const skip = chromiumPath ? false : "no Chromium";
let server;
let browser;
let mine = "mine";
before(async () => {
  if (skip) return;
  server = afluentePath ? await startAfluente() : await startMock();
  browser = await openBrowser();
  if (afluentePath) {
    await furnish(server.url);
    mine = (await ask(server.url, "POST", "/dashboards", { title: "Mine" })).id;
  }
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

for (const screen of SCREENS) {
  test(`${screen.name} is clean in three languages and both themes`, { skip }, async () => {
    const { page, complaints } = await openPage(
      browser.context,
      server.url + screen.path.replace("{mine}", mine),
    );
    const foreign = [];
    page.on("request", (request) => {
      if (!request.url().startsWith(server.url) && !/^(data|blob):/.test(request.url()))
        foreign.push(request.url());
    });
    await page.waitForSelector(screen.ready);
    if (screen.open) await page.click(screen.open);
    if (screen.press) await page.keyboard.press(screen.press);
    if (screen.open || screen.press) await page.waitForSelector("[role=dialog]");
    await looksClean(page, screen.name, screen.ready);
    const expected = (complaint) => screen.failsWith && complaint.includes(`status of ${screen.failsWith}`);
    assert.deepEqual(
      complaints.filter((complaint) => !expected(complaint)),
      [],
    );
    assert.deepEqual(foreign, []);
    await page.close();
  });
}

test("the first paint takes at most 300 KiB compressed", { skip }, async () => {
  const page = await browser.context.newPage();
  const sizes = [];
  page.on("response", async (response) => {
    const path = new URL(response.url()).pathname;
    if (path.startsWith("/api/")) return;
    sizes.push(
      response
        .body()
        .then((body) => ({ path, size: path.endsWith(".woff2") ? body.length : gzipSync(body).length })),
    );
  });
  await page.goto(server.url);
  await page.waitForSelector(".stat");
  const all = await Promise.all(sizes);
  const total = all.reduce((sum, one) => sum + one.size, 0);
  console.log(`first paint: ${(total / 1024).toFixed(0)} KiB in ${all.length} files`);
  assert.ok(total <= FIRST_PAINT_BYTES_MAX, `${total} bytes: ${JSON.stringify(all)}`);
  await page.close();
});
