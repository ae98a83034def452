// What a reader prefers, kept in the browser: language, theme, time zone. The address may say it for one visit
// (`?lang=es&theme=dark`), which is how a page is shared as it looks.
import { useSyncExternalStore } from "react";
import { LOCALES, type Locale } from "./i18n";

export interface Preferences {
  locale: Locale;
  theme: "light" | "dark" | "auto";
  isUtc: boolean;
  /** The sidebar shows icons alone. */
  isNarrow: boolean;
  favourites: string[];
}

const KEY = "afluente.preferences";

function initial(): Preferences {
  const wanted = navigator.languages.map((tag) => tag.slice(0, 2)).find((tag) => tag in LOCALES);
  let stored: Partial<Preferences> = {};
  try {
    stored = JSON.parse(localStorage.getItem(KEY) ?? "{}");
  } catch {
    // Storage may be forbidden, or hold what another version wrote.
  }
  const address = new URLSearchParams(location.search);
  const lang = address.get("lang");
  const theme = address.get("theme");
  const preferences: Preferences = {
    locale: (wanted as Locale) ?? "en",
    theme: "auto",
    isUtc: false,
    isNarrow: false,
    favourites: [],
    ...stored,
  };
  if (lang && lang in LOCALES) preferences.locale = lang as Locale;
  if (theme === "light" || theme === "dark" || theme === "auto") preferences.theme = theme;
  if (!(preferences.locale in LOCALES)) preferences.locale = "en";
  return preferences;
}

let current = initial();
const listeners = new Set<() => void>();

// What another tab changes counts here too.
window.addEventListener("storage", (event) => {
  if (event.key !== KEY || !event.newValue) return;
  current = { ...current, ...JSON.parse(event.newValue) };
  for (const listener of listeners) listener();
});

export function prefer(change: Partial<Preferences>) {
  current = { ...current, ...change };
  try {
    localStorage.setItem(KEY, JSON.stringify(current));
  } catch {
    // Then it lasts for this visit.
  }
  for (const listener of listeners) listener();
}

export function preferences(): Preferences {
  return current;
}

export function usePreferences(): Preferences {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => current,
  );
}
