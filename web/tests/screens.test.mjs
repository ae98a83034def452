// Every screen, in three languages and both themes: no accessibility finding, nothing in the console, no foreign
// request; and a first paint that is small.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { gzipSync } from "node:zlib";
import { chromiumPath, openBrowser, openPage, startMock } from "./browser.mjs";

const AXE = readFileSync(new URL("../node_modules/axe-core/axe.min.js", import.meta.url), "utf8");
const TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
const CATALOGUE = new URL("../src/i18n/catalogue/", import.meta.url);
/** A text that is missing shows its key. */
const KEYS = new Set(
  readdirSync(CATALOGUE).flatMap((file) => Object.keys(JSON.parse(readFileSync(new URL(file, CATALOGUE))))),
);
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
  {
    name: "new panel",
    path: "/live?dashboard=mine",
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
let mock;
let browser;
before(async () => {
  if (skip) return;
  mock = await startMock();
  browser = await openBrowser();
});
after(async () => {
  await browser?.close();
  await mock?.stop();
});

for (const screen of SCREENS) {
  test(`${screen.name} is clean in three languages and both themes`, { skip }, async () => {
    const { page, complaints } = await openPage(browser.context, mock.url + screen.path);
    const foreign = [];
    page.on("request", (request) => {
      if (!request.url().startsWith(mock.url) && !/^(data|blob):/.test(request.url()))
        foreign.push(request.url());
    });
    await page.waitForSelector(screen.ready);
    if (screen.open) await page.click(screen.open);
    if (screen.press) await page.keyboard.press(screen.press);
    if (screen.open || screen.press) await page.waitForSelector("[role=dialog]");
    await page.evaluate(AXE);
    for (const locale of ["en", "es", "pt"]) {
      for (const theme of ["light", "dark"]) {
        const title = `${screen.name}, ${locale}, ${theme}`;
        await prefer(page, { locale, theme });
        await page.waitForSelector(screen.ready);
        // biome-ignore lint/performance/useDomNodeTextContent: what is shown is what matters
        const words = (await page.evaluate(() => document.body.innerText)).split(/\s+/);
        assert.deepEqual(
          words.filter((word) => KEYS.has(word)),
          [],
          title,
        );
        assert.deepEqual(await findings(page), [], title);
      }
    }
    const expected = (complaint) => screen.failsWith && complaint.includes(`status of ${screen.failsWith}`);
    assert.deepEqual(
      complaints.filter((complaint) => !expected(complaint)),
      [],
    );
    assert.deepEqual(foreign, []);
    await page.close();
  });
}

/** As if another tab had changed them. */
async function prefer(page, preferences) {
  await page.evaluate((preferences) => {
    const newValue = JSON.stringify(preferences);
    window.dispatchEvent(new StorageEvent("storage", { key: "afluente.preferences", newValue }));
  }, preferences);
  await page.waitForFunction(({ locale, theme }) => {
    const { lang, dataset } = document.documentElement;
    return lang === locale && dataset.mantineColorScheme === theme;
  }, preferences);
}

async function findings(page) {
  return page.evaluate(async (tags) => {
    // What slides or fades in has not its colours yet.
    const ends = document
      .getAnimations()
      .filter((one) => one.effect?.getTiming().iterations !== Number.POSITIVE_INFINITY);
    await Promise.all(ends.map((one) => one.finished.catch(() => {})));
    const { violations } = await window.axe.run(document, { runOnly: tags, resultTypes: ["violations"] });
    return violations.map(({ id, nodes }) => {
      const places = nodes
        .slice(0, 3)
        .map((node) => `${node.target} ${node.html.slice(0, 160)} (${node.failureSummary})`);
      return `${id}: ${places.join(" | ")}`;
    });
  }, TAGS);
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
  await page.goto(mock.url);
  await page.waitForSelector(".stat");
  const all = await Promise.all(sizes);
  const total = all.reduce((sum, one) => sum + one.size, 0);
  console.log(`first paint: ${(total / 1024).toFixed(0)} KiB in ${all.length} files`);
  assert.ok(total <= FIRST_PAINT_BYTES_MAX, `${total} bytes: ${JSON.stringify(all)}`);
  await page.close();
});
