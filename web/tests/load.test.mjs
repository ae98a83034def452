// Much of everything: long lists at once, a fast tail without a stutter.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { chromiumPath, openBrowser, startMock } from "./browser.mjs";
import { firstRowsMs, GROUPS, LISTS, TOPICS, tailFrames } from "./load.mjs";

const skip = chromiumPath ? false : "no Chromium";
let mock;
let browser;
before(async () => {
  if (skip) return;
  mock = await startMock(["--topics", String(TOPICS), "--groups", String(GROUPS)]);
  browser = await openBrowser();
});
after(async () => {
  await browser?.close();
  await mock?.stop();
});

for (const list of LISTS) {
  test(`the first of very many ${list[0].slice(1)} are there within a second`, { skip }, async () => {
    const ms = await firstRowsMs(browser.context, mock.url, list);
    assert.ok(ms < 1000, `${ms} ms`);
  });
}

test("a tail at 50,000 messages a second stays responsive and bounded", { skip }, async () => {
  const { fps } = await tailFrames(browser.context, mock.url, "firehose");
  assert.ok(fps >= 25, `${fps} frames a second`);
});
