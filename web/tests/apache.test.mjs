// The console in front of Apache Kafka: the same screens and steps, but for what that cluster does not tell.
import { after, before, test } from "node:test";
import { afluentePath, apacheLibs, chromiumPath, openBrowser, openPage, startApache } from "./browser.mjs";
import { looksClean } from "./looks.mjs";
import { ask, filterRuns, fromTopicToExport, screensShow, until } from "./steps.mjs";

const skip = !chromiumPath
  ? "no Chromium"
  : !afluentePath
    ? "afluente was not built"
    : apacheLibs
      ? false
      : "no Java, or no jars of Apache Kafka (tests/java/fetch.sh kafka-4.3.1)";
let server;
let browser;
before(async () => {
  if (skip) return;
  [server, browser] = await Promise.all([startApache(), openBrowser()]);
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

test("from a topic to an export on Apache Kafka", { skip }, () => fromTopicToExport(browser.context, server));

test("every screen shows what Apache Kafka has, without a complaint", { skip }, async () => {
  const { url } = server;
  await ask(url, "POST", "/topics", { name: "orders", partitions: 3 });
  const messages = Array.from({ length: 100 }, (_, n) => ({
    key: { text: `k${n % 7}` },
    value: { text: JSON.stringify({ n, store: `S${n % 3}` }) },
  }));
  await ask(url, "POST", "/topics/orders/messages", { messages });
  await ask(url, "POST", "/groups/nightly-report/offsets", {
    topics: [{ topic: "orders" }],
    to: { kind: "earliest" },
  });
  await until(url, "/groups/nightly-report", (group) => group.lag === 100);
  await screensShow(browser.context, url, [
    ["/", ".row .figure"],
    ["/topics", "[data-row-link]"],
    ["/topics/orders", ".message[aria-selected]"],
    ["/topics/orders?from=oldest&at=0:0", ".json"],
    ["/topics/orders?tab=partitions", "tbody tr"],
    ["/topics/orders?tab=consumers", "[data-row-link]"],
    ["/topics/orders?tab=configs", ".config"],
    ["/groups", "[data-row-link]"],
    ["/groups/nightly-report", "tbody tr"],
    ["/groups/nightly-report?reset=1", "[role=dialog] td strong"],
    ["/cluster", ".facts"],
    ["/cluster?tab=quorum", ".facts"],
    ["/cluster?tab=configs", ".config"],
    ["/live", ".empty, .bignumber, .chart"],
    ["/alerts", ".empty"],
    ["/alerts?new=disk", "[role=dialog] .chart"],
  ]);
  await filterRuns(browser.context, url, "orders", 'value.n > 10 && value.store == "S1"');
  for (const [path, ready] of [
    ["/", ".row .figure"],
    ["/cluster", ".facts"],
  ]) {
    const { page } = await openPage(browser.context, url + path);
    await page.waitForSelector(ready);
    await looksClean(page, path, ready);
    await page.close();
  }
});
