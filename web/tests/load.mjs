// What much of everything costs the reader: times and frames, as Chromium itself sees them.
import assert from "node:assert/strict";
import { openPage } from "./browser.mjs";

/** How many of everything. */
export const TOPICS = 10_000;
export const GROUPS = 5_000;
export const LISTS = [
  ["/topics", /1–50 of 10,0/],
  ["/groups", /1–50 of 5,0/],
];

/** Milliseconds until the first rows of a list are drawn: the quickest of three, what the page takes and not what else
    this machine does. */
export async function firstRowsMs(context, url, [path, total]) {
  const { page } = await openPage(context, `${url}${path}?lang=en`);
  await page.getByText(total).waitFor();
  const times = [];
  for (let round = 0; round < 3; round++) {
    await page.reload();
    await page.getByText(total).waitFor();
    times.push(await page.evaluate(() => performance.getEntriesByName("afluente:rows")[0].startTime));
  }
  await page.close();
  const ms = Math.min(...times);
  console.log(`first rows of ${path}: ${ms.toFixed(0)} ms`);
  return ms;
}

/** Frames a second of the tail of a topic into which messages pour, and memory before and after; once paused it has to
    count, and show nothing new. */
export async function tailFrames(context, url, topic) {
  const { page } = await openPage(context, `${url}/topics/${topic}?lang=en&from=live`);
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
  assert.ok(second.heap < 300 * 2 ** 20);
  assert.ok((await page.locator(".message[aria-selected]").count()) < 100, "only the rows in view are drawn");

  await page.keyboard.press("Space");
  const top = () => page.locator(".message[aria-selected]").first().textContent();
  await page.getByText(/Paused · [\d.,]+k? new/i).waitFor();
  const before = await top();
  await page.waitForFunction(() =>
    /Paused · \d[\d.,]+k/i.test(document.querySelector(".status").textContent),
  );
  assert.equal(await top(), before);
  await page.close();
  return { fps, status: second.status };
}
