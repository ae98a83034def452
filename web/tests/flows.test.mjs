// What people do here, from end to end.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { chromiumPath, openBrowser, openPage, startMock } from "./browser.mjs";

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

test("from a new topic to an export, by mouse and keys", { skip }, async () => {
  const { page, complaints } = await openPage(browser.context, `${mock.url}/topics?lang=en`);
  await page.getByRole("button", { name: "Create a topic" }).click();
  await page.getByRole("dialog").getByRole("textbox", { name: "Name" }).fill("river");
  await page.getByRole("button", { name: "Create", exact: true }).click();
  await page.waitForURL("**/topics/river");
  await page.getByText("No messages yet").waitFor();

  // Watch it live, and produce meanwhile.
  await page.keyboard.press("l");
  await page.getByText("Waiting for messages").waitFor();
  for (const [key, value] of [
    ["a", '{"n":9007199254740993,"text":"uno"}'],
    ["b", '{"n":2,"text":"dos"}'],
  ]) {
    await page.keyboard.press("p");
    const dialog = page.getByRole("dialog");
    await dialog.getByRole("textbox", { name: "Key" }).fill(key);
    await dialog.getByRole("textbox", { name: "Value" }).fill(value);
    await dialog.getByRole("button", { name: "Produce", exact: true }).click();
    await dialog.waitFor({ state: "detached" });
    await page.locator(".message[aria-selected]", { hasText: key }).first().waitFor();
  }

  // A message, whole, with its digits; a tombstone for its key.
  await page.locator(".message[aria-selected]", { hasText: "9007199254740993" }).click();
  await page.locator(".json").getByText("9007199254740993").waitFor();
  await page.getByRole("button", { name: "Delete this key" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Produce", exact: true }).click();
  await page.getByRole("dialog").waitFor({ state: "detached" });
  await page.keyboard.press("Escape");
  await page.keyboard.press("n");
  await page.getByText("tombstone: deletes its key").waitFor();

  // Search, then export what matches.
  await page.getByLabel("Search text").fill("dos");
  await page.waitForFunction(() => document.querySelectorAll(".message[aria-selected]").length === 1);
  await page.getByRole("button", { name: "Export and import" }).click();
  const waiting = page.waitForEvent("download");
  await page.getByRole("menuitem", { name: "JSON lines" }).click();
  const lines = readFileSync(await (await waiting).path(), "utf8")
    .trim()
    .split("\n");
  assert.equal(lines.length, 1);
  assert.deepEqual(JSON.parse(lines[0]).value, { n: 2, text: "dos" });

  // Settings: change one, and take it back.
  await page.getByRole("tab", { name: "Configuration" }).click();
  await page.getByRole("button", { name: "Edit retention.ms" }).click();
  await page.getByLabel("retention.ms", { exact: true }).fill("3600000");
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("3600000").waitFor();
  await page.getByRole("button", { name: "Reset retention.ms to its default" }).click();
  await page
    .getByRole("button", { name: "Reset retention.ms to its default" })
    .waitFor({ state: "detached" });

  // And away with it, by its name.
  await page.getByRole("button", { name: "More actions" }).click();
  await page.getByRole("menuitem", { name: "Delete the topic" }).click();
  const button = page.getByRole("dialog").getByRole("button", { name: "Delete", exact: true });
  assert.equal(await button.isDisabled(), true);
  await page.getByRole("dialog").getByRole("textbox").fill("river");
  await button.click();
  await page.waitForURL("**/topics");
  await page.locator("[data-row-link]").first().waitFor();
  assert.equal(await page.locator("tbody").getByText("river", { exact: true }).count(), 0);
  assert.deepEqual(complaints, []);
  await page.close();
});

test("a reset shows what will be read again, and does it", { skip }, async () => {
  const { page, complaints } = await openPage(browser.context, `${mock.url}/groups/nightly-report?lang=en`);
  await page.getByRole("button", { name: "Reset offsets" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("combobox", { name: "Where to" }).click();
  await page.getByRole("option", { name: "To the end" }).click();
  await dialog.getByText(/will be skipped/).waitFor();
  await dialog.getByRole("button", { name: "Reset", exact: true }).click();
  await page.getByText(/partitions were moved/).waitFor();
  await dialog.waitFor({ state: "detached" });

  // A group that reads cannot be reset: it says so before.
  await page.goto(`${mock.url}/groups/inventory?lang=en&reset=1`);
  await page.getByText(/Stop them first/).waitFor();
  assert.equal(
    await page.getByRole("dialog").getByRole("button", { name: "Reset", exact: true }).isDisabled(),
    true,
  );
  assert.deepEqual(complaints, []);
  await page.close();
});

test("a search shows its progress and can be stopped", { skip }, async () => {
  const { page } = await openPage(browser.context, `${mock.url}/topics/invoices?lang=en&q=slowly`);
  await page.locator("[data-progress]").waitFor();
  await page.getByRole("button", { name: "Stop" }).click();
  await page.getByText("Stopped: there may be more.").waitFor();
  await page.close();
});

test("a wrong filter is told at once, a right one filters", { skip }, async () => {
  const { page } = await openPage(browser.context, `${mock.url}/topics/invoices?lang=en&filters=1`);
  const field = page.getByLabel("Expression");
  await field.fill("value.TotalAmount >");
  await page.getByText(/expected a comparison/).waitFor();
  assert.equal(
    await page.locator(".filters").getByRole("button", { name: "Filter", exact: true }).isDisabled(),
    true,
  );
  await field.fill('value.CustomerType == "PRIME"');
  await page.keyboard.press("Enter");
  await page.waitForURL(/filter=value/);
  await page.locator(".message[aria-selected]", { hasText: "PRIME" }).first().waitFor();
  assert.equal(await page.locator(".message[aria-selected]", { hasText: "NONPRIME" }).count(), 0);
  await page.close();
});

test("a panel made of a field is drawn and kept, and a rule on it", { skip }, async () => {
  const { page, complaints } = await openPage(browser.context, `${mock.url}/live?lang=en`);
  await page.getByRole("button", { name: "New panel" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Title").fill("Average basket");
  await dialog.getByLabel("Topic").fill("invoices");
  await dialog.getByRole("combobox", { name: "Figure" }).click();
  await page.getByRole("option", { name: "Average" }).click();
  await dialog.getByLabel("Field").fill("value.TotalAmount");
  await dialog.locator(".chart canvas").waitFor();
  await dialog.getByLabel("Title").click();
  await dialog.getByRole("button", { name: "Save" }).click();
  await dialog.waitFor({ state: "detached" });
  await page.getByRole("heading", { name: "Average basket" }).waitFor();
  await page.reload();
  await page.getByRole("heading", { name: "Average basket" }).waitFor();

  await page.getByRole("button", { name: "Actions of Average basket" }).click();
  await page.getByRole("menuitem", { name: "Alert on this panel" }).click();
  await page.getByRole("dialog").getByLabel("Name").fill("Baskets are large");
  await page.getByText(/It would/).waitFor();
  await page.getByRole("dialog").getByRole("button", { name: "Save" }).click();
  await page.locator("tbody").getByText("Baskets are large").waitFor();
  assert.deepEqual(complaints, []);
  await page.close();
});

test("everything is reached by keyboard", { skip }, async () => {
  const { page } = await openPage(browser.context, `${mock.url}/?lang=en`);
  await page.locator(".stat").first().waitFor();
  await page.keyboard.press("Control+k");
  await page.locator("[role=combobox]:focus").waitFor();
  await page.keyboard.type("invoic");
  // Until the last letter has been searched for: what was found before it is shown meanwhile.
  await page.waitForFunction(() => document.querySelectorAll("[role=option]").length === 1);
  await page.getByRole("option", { name: /^invoices/, selected: true }).waitFor();
  await page.keyboard.press("Enter");
  await page.waitForURL("**/topics/invoices");
  await page.locator(".message[aria-selected]").first().waitFor();
  await page.locator(".messages").focus();
  await page.keyboard.press("ArrowDown");
  await page.locator(".detail").waitFor();
  await page.keyboard.press("Escape");
  await page.locator(".detail").waitFor({ state: "detached" });
  await page.keyboard.press("g");
  await page.keyboard.press("g");
  await page.waitForURL("**/groups");
  await page.locator("[data-row-link]").first().waitFor();
  await page.keyboard.press("/");
  await page.keyboard.type("ship");
  await page.waitForURL(/q=ship/);
  await page.close();
});

test("the page comes back by itself when the server does", { skip }, async () => {
  let own = await startMock();
  const { page } = await openPage(browser.context, `${own.url}/topics/invoices?lang=en&from=live`);
  await page.locator(".message[aria-selected]").first().waitFor();
  await page.evaluate(() => {
    window.isSamePage = true;
  });
  await own.stop();
  await page.getByText("The connection to the console is lost.").waitFor();
  own = await startMock([], own.port);
  await page.locator("[data-live=live]").waitFor();
  await page.getByText("The connection to the console is lost.").waitFor({ state: "detached" });
  await page.waitForFunction(() => /Live · [1-9]/.test(document.querySelector(".status").textContent));
  assert.equal(await page.evaluate(() => window.isSamePage), true);
  await page.close();
  await own.stop();
});
