// What people do on a real cluster, from end to end: the same steps for ours and for Apache Kafka.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { afluentePath, openPage } from "./browser.mjs";

/** Asks the console's back end; what it refuses is an error. */
export async function ask(url, method, path, body = undefined) {
  const answer = await fetch(`${url}/api${path}`, {
    method,
    headers: body === undefined ? {} : { "content-type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
  return text === "" ? null : JSON.parse(text);
}

/** Asks until the answer is good: the back end looks at the cluster once a second. */
export async function until(url, path, isGood) {
  for (;;) {
    const answer = await ask(url, "GET", path).catch(() => null);
    if (answer !== null && isGood(answer)) return answer;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** What the screens want to show beside the demo: an empty topic, a group that stopped, a rule that fires. */
export async function furnish(url) {
  await until(url, "/topics/invoices", (topic) => topic.messages > 0);
  await until(url, "/groups/shipment", (group) => group.memberList.length > 0);
  await ask(url, "POST", "/topics", { name: "empty-topic", partitions: 1 });
  await ask(url, "POST", "/groups/nightly-report/offsets", {
    topics: [{ topic: "invoices" }],
    to: { kind: "earliest" },
  });
  await ask(url, "POST", "/alerts/rules", {
    name: "Invoices stopped",
    enabled: true,
    source: { kind: "noData", topic: "empty-topic" },
    op: ">=",
    threshold: 0,
    forMs: 0,
    severity: "info",
    targets: [{ kind: "console" }],
  });
  await until(url, "/alerts/history", (history) => history.total > 0);
  await until(url, "/groups/nightly-report", (group) => group.offsets.length > 0);
}

/** Opens screens one after the other; each has to show what it is waited for, without a complaint. */
export async function screensShow(context, url, screens) {
  for (const [path, ready] of screens) {
    const { page, complaints } = await openPage(context, url + path);
    await page.waitForSelector(ready).catch(async (error) => {
      const alerts = await page.locator("[role=alert]").allTextContents();
      throw new Error(`${path}: ${error.message}; the page says: ${alerts.join(" | ")}`);
    });
    assert.deepEqual(complaints, [], path);
    await page.close();
  }
}

/** Create a topic, see a message arrive, read it as a group, move the group back, export, delete. */
export async function fromTopicToExport(context, { url, bootstrap }) {
  const { page, complaints } = await openPage(context, `${url}/topics?lang=en&create=1`);
  await page.getByRole("dialog").getByRole("textbox", { name: "Name" }).fill("river");
  await page.getByRole("button", { name: "Create", exact: true }).click();
  await page.waitForURL("**/topics/river");
  await page.getByText("No messages yet").waitFor();
  await page.keyboard.press("l");
  await page.getByText("Waiting for messages").waitFor();
  for (const [key, value] of [
    ["a", '{"n":9007199254740993}'],
    ["b", '{"n":2}'],
  ]) {
    await page.keyboard.press("p");
    const dialog = page.getByRole("dialog");
    await dialog.getByRole("textbox", { name: "Key" }).fill(key);
    await dialog.getByRole("textbox", { name: "Value" }).fill(value);
    await dialog.getByRole("button", { name: "Produce", exact: true }).click();
    await dialog.waitFor({ state: "detached" });
    await page.locator(".message[aria-selected]", { hasText: value }).waitFor();
  }
  await page.keyboard.press("o");
  await page.locator(".message[aria-selected]", { hasText: "9007199254740993" }).waitFor();

  // A group reads them, with Kafka's own flags, and goes.
  const read = spawnSync(
    afluentePath,
    [
      "console-consumer",
      ...["--bootstrap-server", bootstrap, "--topic", "river", "--group", "readers"],
      ...["--from-beginning", "--max-messages", "2"],
    ],
    { encoding: "utf8" },
  );
  assert.equal(read.status, 0, read.stderr);
  assert.equal(read.stdout.trim().split("\n").length, 2);
  await page.getByRole("tab", { name: "Consumers" }).click();
  await page.locator("[data-row-link]", { hasText: "readers" }).click();
  await page.waitForURL("**/groups/readers*");
  await page.locator("tbody").getByText("river").first().waitFor();

  // Back to the beginning: it says what will be read again, and does it.
  await until(url, "/groups/readers", (group) => group.state === "Empty" && group.lag === 0);
  await page.getByRole("button", { name: "Reset offsets" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByText(/will be read again/).waitFor();
  await dialog.getByRole("button", { name: "Reset", exact: true }).click();
  await page.getByText(/partitions? (was|were) moved/).waitFor();
  await dialog.waitFor({ state: "detached" });
  await until(url, "/groups/readers", (group) => group.lag === 2);

  await page.goto(`${url}/topics/river?lang=en&from=oldest`);
  await page.locator(".message[aria-selected]").first().waitFor();
  await page.getByRole("button", { name: "Export and import" }).click();
  const waiting = page.waitForEvent("download");
  await page.getByRole("menuitem", { name: "JSON lines" }).click();
  const text = readFileSync(await (await waiting).path(), "utf8");
  const values = text
    .trim()
    .split("\n")
    .map((line) => line.match(/"value":(\{.*?\})/)[1]);
  assert.deepEqual(values.sort(), ['{"n":2}', '{"n":9007199254740993}']);

  await page.getByRole("button", { name: "More actions" }).click();
  await page.getByRole("menuitem", { name: "Delete the topic" }).click();
  await page.getByRole("dialog").getByRole("textbox").fill("river");
  await page.getByRole("dialog").getByRole("button", { name: "Delete", exact: true }).click();
  await page.waitForURL("**/topics");
  await ask(url, "DELETE", "/groups/readers?confirm=readers");
  assert.deepEqual(complaints, []);
  await page.close();
}

/** A wrong expression is explained while it is typed, a right one filters on the server. */
export async function filterRuns(context, url, topic, expression) {
  const { page } = await openPage(context, `${url}/topics/${topic}?lang=en&filters=1`);
  const field = page.getByLabel("Expression");
  await field.fill(`${expression} &&`);
  await page.locator(".filters .mantine-Input-error, .filters .mantine-InputWrapper-error").first().waitFor();
  await field.fill(expression);
  await page.keyboard.press("Enter");
  await page.waitForURL(/filter=value/);
  await page.locator(".message[aria-selected]").first().waitFor();
  await page.close();
}
