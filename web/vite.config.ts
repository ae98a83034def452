import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

const LOCALES = ["en", "es", "pt"];
const CATALOGUE = join(import.meta.dirname, "src/i18n/catalogue");

/** Cuts the catalogue, where the three languages stand side by side, into one module for each. */
function locales(): Plugin {
  return {
    name: "locales",
    resolveId: (id) => (id.startsWith("virtual:locale/") ? `\0${id}` : null),
    load(id) {
      const locale = id.match(/^\0virtual:locale\/(\w+)$/)?.[1];
      if (!locale) return null;
      const index = LOCALES.indexOf(locale);
      const texts: Record<string, string> = {};
      for (const file of readdirSync(CATALOGUE).sort()) {
        this.addWatchFile(join(CATALOGUE, file));
        const entries = JSON.parse(readFileSync(join(CATALOGUE, file), "utf8")) as Record<string, string[]>;
        for (const [key, translations] of Object.entries(entries)) {
          if (texts[key] !== undefined) this.error(`${file}: "${key}" is there twice`);
          if (translations.length !== LOCALES.length || translations.some((text) => text === "")) {
            this.error(`${file}: "${key}" wants ${LOCALES.length} texts`);
          }
          texts[key] = translations[index]!;
        }
      }
      return `export default ${JSON.stringify(texts)}`;
    },
  };
}

/** Puts the licences of all that was bundled beside it. */
function licences(): Plugin {
  return {
    name: "licences",
    generateBundle(_, bundle) {
      const folders = new Set<string>();
      for (const chunk of Object.values(bundle)) {
        if (chunk.type !== "chunk") continue;
        for (const id of chunk.moduleIds) {
          const folder = id.replaceAll("\0", "").match(/^(.*\/node_modules\/(?:@[^/]+\/)?[^/]+)\//)?.[1];
          if (folder) folders.add(folder);
        }
      }
      // Its style sheet alone is bundled, which leaves no trace in the modules.
      folders.add(join(import.meta.dirname, "node_modules/@fontsource-variable/inter"));
      const notices = [...folders].map((folder) => {
        const about = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
        const file = readdirSync(folder).find((name) => /^licen[cs]e/i.test(name));
        const text = file ? readFileSync(join(folder, file), "utf8").trim() : `Licence: ${about.license}`;
        return `${about.name} ${about.version} (${about.license})\n\n${text}\n`;
      });
      const source = notices
        .sort()
        .join(`\n${"-".repeat(80)}\n\n`)
        .replace(/[ \t]+$/gm, "");
      this.emitFile({ type: "asset", fileName: "licences.txt", source });
    },
  };
}

export default defineConfig({
  plugins: [react(), locales(), licences()],
  root: dirname(new URL(import.meta.url).pathname),
  build: {
    target: "es2022",
    sourcemap: false,
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 600,
    modulePreload: { polyfill: false },
  },
  server: {
    port: 27001,
    proxy: { "/api": { target: "http://127.0.0.1:27002", ws: true } },
  },
});
