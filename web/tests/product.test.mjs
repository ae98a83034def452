// The same front end on the product itself: broker, console and demo data in one process.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { afluentePath, chromiumPath, openBrowser, openPage, startAfluente } from "./browser.mjs";
import { filterRuns, fromTopicToExport } from "./steps.mjs";

const skip = !chromiumPath ? "no Chromium" : afluentePath ? false : "afluente was not built";
let server;
let browser;
before(async () => {
  if (skip) return;
  server = await startAfluente();
  browser = await openBrowser();
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

test("a new topic, messages in it seen live, read by a group, read again, exported", { skip }, () =>
  fromTopicToExport(browser.context, server),
);

test("a filter runs on the server, and a wrong one is explained", { skip }, () =>
  filterRuns(browser.context, server.url, "invoices", "value.TotalAmount > 0 && partition == 0"),
);

test("the process is killed and started again: the page goes on by itself", { skip }, async () => {
  const { page } = await openPage(browser.context, `${server.url}/topics/invoices?lang=en&from=live`);
  await page.locator(".message[aria-selected]").first().waitFor();
  await page.evaluate(() => {
    window.isSamePage = true;
  });
  await server.kill();
  await page.getByText("The connection to the console is lost.").waitFor();
  await server.start();
  await page.locator("[data-live=live]").waitFor();
  await page.waitForFunction(() => /Live · [1-9]/.test(document.querySelector(".status").textContent));
  assert.equal(await page.evaluate(() => window.isSamePage), true);
  await page.close();
});
