// The small pieces that pages are made of.
import { Skeleton, Tooltip } from "@mantine/core";
import { createLink } from "@tanstack/react-router";
import { type AnchorHTMLAttributes, type ReactNode, type Ref, useEffect } from "react";
import type { GroupLag } from "../api/contract";
import { useLanguage } from "../i18n";
import { IconFalling, IconRising } from "./icons";

type AnchorProps = AnchorHTMLAttributes<HTMLAnchorElement> & {
  ref?: Ref<HTMLAnchorElement>;
  "data-row-link"?: string;
};

function Anchor({ className, ...props }: AnchorProps) {
  return <a {...props} className={className ? `link ${className}` : "link"} />;
}

/** A link to a page of ours. */
export const Link = createLink(Anchor);

export function Page(props: {
  title: string;
  /** Of the tab, where the title alone says too little. */
  tab?: string;
  lead?: ReactNode;
  actions?: ReactNode;
  children: ReactNode;
}) {
  useEffect(() => {
    document.title = `${props.tab ?? props.title} · Afluente`;
  }, [props.tab, props.title]);
  return (
    <>
      <div style={{ display: "flex", alignItems: "center", flexWrap: "wrap", gap: 12, marginBottom: 16 }}>
        <div style={{ minWidth: 0, flex: "1 1 auto" }}>
          <h1
            style={{
              fontSize: "1.375rem",
              lineHeight: 1.3,
              margin: 0,
              fontWeight: 640,
              overflowWrap: "anywhere",
            }}
          >
            {props.title}
          </h1>
          {props.lead && (
            <div style={{ color: "var(--mantine-color-dimmed)", fontSize: "0.875rem", marginTop: 2 }}>
              {props.lead}
            </div>
          )}
        </div>
        {props.actions}
      </div>
      {props.children}
    </>
  );
}

export function Card(props: {
  title?: ReactNode;
  aside?: ReactNode;
  flush?: boolean;
  children: ReactNode;
  style?: React.CSSProperties;
}) {
  return (
    <section className={props.flush ? "card flush" : "card"} style={props.style}>
      {props.title && (
        <header>
          <h2>{props.title}</h2>
          {props.aside}
        </header>
      )}
      {props.children}
    </section>
  );
}

export function Stat(props: {
  label: string;
  value: ReactNode;
  unit?: string;
  hint?: ReactNode;
  children?: ReactNode;
}) {
  return (
    <div className="card">
      <dl className="stat" style={{ margin: 0 }}>
        <dt>{props.label}</dt>
        <dd>
          {props.value}
          {props.unit && <small>{props.unit}</small>}
        </dd>
      </dl>
      {props.hint && <div className="hint">{props.hint}</div>}
      {props.children}
    </div>
  );
}

export type Tone = "good" | "warn" | "bad" | "calm" | "accent";

export function Pill(props: { tone: Tone; children: ReactNode; dot?: boolean }) {
  return (
    <span className={`pill soft-${props.tone}`}>
      {props.dot && <span className="dot" />}
      {props.children}
    </span>
  );
}

/** A line of a few numbers; its story is told beside it in figures. */
export function Sparkline(props: { values: number[]; width?: number; height?: number; color?: string }) {
  const { values, width = 96, height = 24, color = "var(--series-1)" } = props;
  if (values.length < 2) return <svg className="spark" width={width} height={height} aria-hidden="true" />;
  const max = Math.max(...values, 1e-9);
  const step = width / (values.length - 1);
  const points = values.map(
    (value, index) =>
      `${(index * step).toFixed(1)},${(height - 1 - (value / max) * (height - 3)).toFixed(1)}`,
  );
  return (
    <svg className="spark" width={width} height={height} aria-hidden="true">
      <polygon points={`0,${height} ${points.join(" ")} ${width},${height}`} fill={color} opacity="0.12" />
      <polyline
        points={points.join(" ")}
        fill="none"
        stroke={color}
        strokeWidth="1.5"
        strokeLinejoin="round"
      />
    </svg>
  );
}

export function Trend(props: Pick<GroupLag, "trend" | "zeroInSeconds"> & { lag: number | null }) {
  const { t, duration } = useLanguage();
  if (!props.lag) return null;
  if (props.trend === "falling") {
    return (
      <span
        className="tone-good"
        style={{ display: "inline-flex", gap: 4, alignItems: "center", whiteSpace: "nowrap" }}
      >
        <IconFalling size={15} aria-hidden="true" />
        {props.zeroInSeconds === null
          ? t("lag.falling")
          : t("lag.zeroIn", { time: duration(props.zeroInSeconds) })}
      </span>
    );
  }
  if (props.trend === "rising") {
    return (
      <span
        className="tone-bad"
        style={{ display: "inline-flex", gap: 4, alignItems: "center", whiteSpace: "nowrap" }}
      >
        <IconRising size={15} aria-hidden="true" />
        {t("lag.rising")}
      </span>
    );
  }
  return <span className="tone-calm">{t("lag.steady")}</span>;
}

/** A point in time: how long ago, with the exact time on hover. */
export function Ago(props: { ms: number }) {
  const { ago, dateTimeMs } = useLanguage();
  return (
    <Tooltip label={dateTimeMs(props.ms)}>
      <time dateTime={new Date(props.ms).toISOString()}>{ago(props.ms)}</time>
    </Tooltip>
  );
}

export function Empty(props: { icon: ReactNode; title: string; text?: ReactNode; children?: ReactNode }) {
  return (
    <div className="empty">
      <span className="sign soft-accent" aria-hidden="true">
        {props.icon}
      </span>
      <h2>{props.title}</h2>
      {props.text && <p>{props.text}</p>}
      {props.children}
    </div>
  );
}

export function Waiting(props: { rows?: number }) {
  return (
    <div className="grid" aria-busy="true">
      {Array.from({ length: props.rows ?? 3 }, (_, index) => (
        <Skeleton key={index} height={index === 0 ? 90 : 180} radius="lg" />
      ))}
    </div>
  );
}

/** A share of a whole, with its text beside it. */
export function Bar(props: { share: number; color?: string; label: string }) {
  return (
    <div className="bar" role="img" aria-label={props.label}>
      <i style={{ width: `${Math.max(0, Math.min(1, props.share)) * 100}%`, background: props.color }} />
    </div>
  );
}
