// The reader's language: texts, numbers, sizes, times.
import { createContext, type ReactNode, useContext, useMemo } from "react";
import type alerts from "./catalogue/alerts.json";
import type cluster from "./catalogue/cluster.json";
import type configs from "./catalogue/configs.json";
import type errors from "./catalogue/errors.json";
import type groups from "./catalogue/groups.json";
import type livePage from "./catalogue/live.json";
import type messages from "./catalogue/messages.json";
import type overview from "./catalogue/overview.json";
import type shell from "./catalogue/shell.json";
import type topics from "./catalogue/topics.json";
import { fill, type Values } from "./format";

export type Key = keyof (typeof alerts &
  typeof cluster &
  typeof configs &
  typeof errors &
  typeof groups &
  typeof livePage &
  typeof messages &
  typeof overview &
  typeof shell &
  typeof topics);

export const LOCALES = { en: "English", es: "Español", pt: "Português" } as const;
export type Locale = keyof typeof LOCALES;

type Texts = Record<string, string>;

const LOAD: Record<Locale, () => Promise<{ default: Texts }>> = {
  en: () => import("virtual:locale/en"),
  es: () => import("virtual:locale/es"),
  pt: () => import("virtual:locale/pt"),
};
const INTL: Record<Locale, string> = { en: "en-GB", es: "es", pt: "pt-BR" };
/** British short forms (1m, 1k) are too easily taken for units. */
const INTL_NUMBERS: Record<Locale, string> = { ...INTL, en: "en-US" };

export const loadTexts = async (locale: Locale): Promise<Texts> => (await LOAD[locale]()).default;

export class Language {
  readonly intl: string;
  private readonly compact: Intl.NumberFormat;
  private readonly plain: Intl.NumberFormat;
  private readonly short: Intl.NumberFormat;

  constructor(
    readonly locale: Locale,
    private readonly texts: Texts,
    readonly isUtc: boolean,
  ) {
    this.intl = INTL[locale];
    const numbers = INTL_NUMBERS[locale];
    this.compact = new Intl.NumberFormat(numbers, { notation: "compact", maximumSignificantDigits: 4 });
    this.plain = new Intl.NumberFormat(numbers, { maximumFractionDigits: 2 });
    this.short = new Intl.NumberFormat(numbers, { maximumSignificantDigits: 3 });
  }

  t = (key: Key, values: Values = {}): string => fill(this.texts[key] ?? key, values, this.intl);

  /** A text whose key is made at run time, if there is one. */
  maybe = (key: string, values: Values = {}): string | null =>
    this.texts[key] === undefined ? null : fill(this.texts[key], values, this.intl);

  number = (value: number | null): string => (value === null ? "–" : this.plain.format(value));

  /** 12.3K: where room is short. */
  count = (value: number | null): string =>
    value === null
      ? "–"
      : Math.abs(value) < 10_000
        ? this.plain.format(Math.round(value))
        : this.compact.format(value);

  rate = (value: number | null): string =>
    value === null
      ? "–"
      : value === 0
        ? "0"
        : Math.abs(value) < 100
          ? this.short.format(Math.round(value * 10) / 10)
          : Math.abs(value) < 10_000
            ? this.plain.format(Math.round(value))
            : this.compact.format(value);

  bytes = (value: number | null): string => {
    if (value === null) return "–";
    const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let scaled = value;
    let unit = 0;
    while (Math.abs(scaled) >= 1000 && unit < units.length - 1) {
      scaled /= 1024;
      unit++;
    }
    return `${unit === 0 ? Math.round(scaled) : this.short.format(scaled)} ${units[unit]}`;
  };

  /** Two parts at most: "3 h 20 min". */
  duration = (seconds: number | null): string => {
    if (seconds === null) return "–";
    if (seconds < 1) return seconds === 0 ? "0 s" : `${Math.max(1, Math.round(seconds * 1000))} ms`;
    const parts: [number, string][] = [
      [86_400, this.locale === "en" ? "d" : "d"],
      [3_600, "h"],
      [60, "min"],
      [1, "s"],
    ];
    let rest = Math.round(seconds);
    const texts: string[] = [];
    for (const [size, unit] of parts) {
      const whole = Math.floor(rest / size);
      rest -= whole * size;
      if (whole > 0) texts.push(`${this.plain.format(whole)} ${unit}`);
      else if (texts.length > 0) break;
      if (texts.length === 2) break;
    }
    return texts.join(" ");
  };

  ago = (ms: number, now = Date.now()): string => {
    const format = new Intl.RelativeTimeFormat(this.intl, { numeric: "auto" });
    const seconds = (ms - now) / 1000;
    for (const [unit, size] of [
      ["day", 86_400],
      ["hour", 3_600],
      ["minute", 60],
    ] as const) {
      if (Math.abs(seconds) >= size) return format.format(Math.round(seconds / size), unit);
    }
    return format.format(Math.round(seconds), "second");
  };

  private zone = () => (this.isUtc ? { timeZone: "UTC" } : {});

  time = (ms: number): string =>
    new Date(ms).toLocaleTimeString(this.intl, {
      hour: "2-digit",
      minute: "2-digit",
      second: "2-digit",
      hourCycle: "h23",
      ...this.zone(),
    });

  dateTime = (ms: number): string =>
    new Date(ms).toLocaleString(this.intl, {
      year: "numeric",
      month: "short",
      day: "2-digit",
      hour: "2-digit",
      minute: "2-digit",
      second: "2-digit",
      hourCycle: "h23",
      ...this.zone(),
    });

  /** For rows: the time, with the day where it is not today's. */
  stamp = (ms: number): string => {
    const date = new Date(ms);
    const exact = `${this.time(ms)}.${String(((ms % 1000) + 1000) % 1000).padStart(3, "0")}`;
    const day = (date: Date) =>
      date.toLocaleDateString(this.intl, {
        year: "2-digit",
        month: "2-digit",
        day: "2-digit",
        ...this.zone(),
      });
    return day(date) === day(new Date()) ? exact : `${day(date)} ${exact}`;
  };

  dateTimeMs = (ms: number): string =>
    `${this.dateTime(ms)}.${String(((ms % 1000) + 1000) % 1000).padStart(3, "0")}`;
}

const Context = createContext<Language | null>(null);

export function LanguageProvider(props: {
  locale: Locale;
  texts: Texts;
  isUtc: boolean;
  children: ReactNode;
}) {
  const language = useMemo(
    () => new Language(props.locale, props.texts, props.isUtc),
    [props.locale, props.texts, props.isUtc],
  );
  return <Context value={language}>{props.children}</Context>;
}

export function useLanguage(): Language {
  const language = useContext(Context);
  if (!language) throw new Error("no LanguageProvider above");
  return language;
}
