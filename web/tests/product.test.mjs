// The same front end on the product itself: broker, console and demo data in one process.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { afluentePath, chromiumPath, openBrowser, openPage, startAfluente } from "./browser.mjs";

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

test("the screens seen here show the demo's data, without a complaint", { skip }, async () => {
  for (const [path, ready] of [
    ["/", ".row .figure"],
    ["/topics", "[data-row-link]"],
    ["/topics/invoices", ".message[aria-selected]"],
    ["/topics/invoices?from=oldest&at=0:0", ".json"],
    ["/topics/invoices?from=live", ".message[aria-selected]"],
    ["/topics/invoices?tab=partitions", "tbody tr"],
    ["/topics/invoices?tab=consumers", "[data-row-link], .empty"],
    ["/topics/invoices?tab=configs", ".config"],
    ["/groups", "[data-row-link], .empty"],
    ["/cluster", "tbody tr"],
    ["/cluster?tab=quorum", ".facts, .doc"],
  ]) {
    const { page, complaints } = await openPage(browser.context, `${server.url}${path}`);
    await page.waitForSelector(ready).catch(async (error) => {
      const alerts = await page.locator("[role=alert]").allTextContents();
      throw new Error(`${path}: ${error.message}; the page says: ${alerts.join(" | ")}`);
    });
    assert.deepEqual(complaints, [], path);
    await page.close();
  }
});

test("a new topic, a message in it seen live, and away with it", { skip }, async () => {
  const { page, complaints } = await openPage(browser.context, `${server.url}/topics?lang=en&create=1`);
  await page.getByRole("dialog").getByRole("textbox", { name: "Name" }).fill("river");
  await page.getByRole("button", { name: "Create", exact: true }).click();
  await page.waitForURL("**/topics/river");
  await page.getByText("No messages yet").waitFor();
  await page.keyboard.press("l");
  await page.getByText("Waiting for messages").waitFor();
  await page.keyboard.press("p");
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("textbox", { name: "Key" }).fill("a");
  await dialog.getByRole("textbox", { name: "Value" }).fill('{"n":9007199254740993}');
  await dialog.getByRole("button", { name: "Produce", exact: true }).click();
  await page.locator(".message[aria-selected]", { hasText: "9007199254740993" }).waitFor();
  await page.keyboard.press("o");
  await page.locator(".message[aria-selected]", { hasText: "9007199254740993" }).waitFor();

  await page.getByRole("button", { name: "More actions" }).click();
  await page.getByRole("menuitem", { name: "Delete the topic" }).click();
  await page.getByRole("dialog").getByRole("textbox").fill("river");
  await page.getByRole("dialog").getByRole("button", { name: "Delete", exact: true }).click();
  await page.waitForURL("**/topics");
  assert.deepEqual(complaints, []);
  await page.close();
});

test("a filter runs on the server, and a wrong one is explained", { skip }, async () => {
  const { page } = await openPage(browser.context, `${server.url}/topics/invoices?lang=en&filters=1`);
  const field = page.getByLabel("Expression");
  await field.fill("value.TotalAmount >");
  await page.locator(".filters .mantine-Input-error, .filters .mantine-InputWrapper-error").first().waitFor();
  await field.fill("value.TotalAmount > 0 && partition == 0");
  await page.keyboard.press("Enter");
  await page.waitForURL(/filter=value/);
  await page.locator(".message[aria-selected]").first().waitFor();
  await page.close();
});

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
