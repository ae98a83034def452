// How every screen has to look: nothing for axe to find, no text that is not translated, in each language and theme.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";

const AXE = readFileSync(new URL("../node_modules/axe-core/axe.min.js", import.meta.url), "utf8");
const TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
const CATALOGUE = new URL("../src/i18n/catalogue/", import.meta.url);
/** A text that is missing shows its key. */
const KEYS = new Set(
  readdirSync(CATALOGUE).flatMap((file) => Object.keys(JSON.parse(readFileSync(new URL(file, CATALOGUE))))),
);

export const LOCALES = ["en", "es", "pt"];
export const THEMES = ["light", "dark"];

/** Looks at an open page, that shows `ready`, in these languages and themes. */
export async function looksClean(page, name, ready, locales = LOCALES, themes = THEMES) {
  await page.evaluate(AXE);
  for (const locale of locales) {
    for (const theme of themes) {
      const title = `${name}, ${locale}, ${theme}`;
      await prefer(page, { locale, theme });
      await page.waitForSelector(ready);
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
