// Much of everything: long lists at once, a fast tail without a stutter.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { chromiumPath, openBrowser, openPage, startMock } from "./browser.mjs";

const skip = chromiumPath ? false : "no Chromium";
let mock;
let browser;
before(async () => {
  if (skip) return;
  mock = await startMock(["--topics", "10000", "--groups", "5000"]);
  browser = await openBrowser();
});
after(async () => {
  await browser?.close();
  await mock?.stop();
});

for (const [path, total] of [
  ["/topics", /1–50 of 10,0/],
  ["/groups", /1–50 of 5,0/],
]) {
  test(`the first of very many ${path.slice(1)} are there within a second`, { skip }, async () => {
    const { page } = await openPage(browser.context, `${mock.url}${path}?lang=en`);
    await page.getByText(total).waitFor();
    // The quickest of three: what the page takes, not what else this machine does.
    const times = [];
    for (let round = 0; round < 3; round++) {
      await page.reload();
      await page.getByText(total).waitFor();
      times.push(await page.evaluate(() => performance.getEntriesByName("afluente:rows")[0].startTime));
    }
    const ms = Math.min(...times);
    console.log(`first rows of ${path}: ${ms.toFixed(0)} ms`);
    assert.ok(ms < 1000, `${ms} ms`);
    await page.close();
  });
}

test("a tail at 50,000 messages a second stays responsive and bounded", { skip }, async () => {
  const { page } = await openPage(browser.context, `${mock.url}/topics/firehose?lang=en&from=live`);
  await page.locator(".message[aria-selected]").first().waitFor();
  const measure = () =>
    page.evaluate(async () => {
      const gaps = [];
      let last = performance.now();
      const end = last + 4_000;
      while (last < end) {
        const now = await new Promise(requestAnimationFrame);
        gaps.push(now - last);
        last = now;
      }
      gaps.sort((a, b) => a - b);
      const status = document.querySelector(".status").textContent;
      return {
        frames: gaps.length,
        p95: gaps[Math.floor(gaps.length * 0.95)],
        heap: performance.memory?.usedJSHeapSize ?? 0,
        status,
      };
    });
  await measure();
  const first = await measure();
  const second = await measure();
  const fps = second.frames / 4;
  const mib = (bytes) => (bytes / 2 ** 20).toFixed(0);
  console.log(
    `${fps.toFixed(0)} frames a second, p95 ${second.p95.toFixed(0)} ms, heap ${mib(first.heap)} → ${mib(second.heap)} MiB; ${second.status}`,
  );
  assert.ok(fps >= 25, `${fps} frames a second`);
  assert.ok(second.heap < 300 * 2 ** 20);
  assert.ok((await page.locator(".message[aria-selected]").count()) < 100, "only the rows in view are drawn");

  // While paused it counts, and shows nothing new.
  await page.keyboard.press("Space");
  const top = () => page.locator(".message[aria-selected]").first().textContent();
  await page.getByText(/Paused · [\d.,]+k? new/i).waitFor();
  const before = await top();
  await page.waitForFunction(() =>
    /Paused · \d[\d.,]+k/i.test(document.querySelector(".status").textContent),
  );
  assert.equal(await top(), before);
  await page.close();
});
