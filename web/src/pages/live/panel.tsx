// One panel: a line, a number or bars, fed by its stream outside of React.
import { useEffect, useMemo, useRef, useState } from "react";
import type { ApiError, NewPanel, PanelTick, StreamRequest } from "../../api/contract";
import { Failure } from "../../api/http";
import { useStream } from "../../api/live";
import { LineChart } from "../../charts/line";
import { Ring } from "../../charts/ring";
import { type Language, useLanguage } from "../../i18n";
import { FailureCard } from "../../ui/failure";

/** Points come four times a second. */
const DELAY_MS = 450;
const HEIGHT = 190;

export function formatOf(
  unit: string,
  { bytes, rate, duration }: Language,
): (value: number | null) => string {
  if (unit === "bytes") return bytes;
  if (unit === "s") return duration;
  if (unit === "ms") return (value) => (value === null ? "–" : `${rate(value)} ms`);
  return (value) => (value === null ? "–" : unit ? `${rate(value)} ${unit}` : rate(value));
}

export function PanelView(props: {
  panel: NewPanel;
  title: string;
  stream: StreamRequest;
  windowMs: number;
  isPaused: boolean;
}) {
  const { panel, title, stream, windowMs, isPaused } = props;
  const language = useLanguage();
  const { t } = language;
  // Its content is what makes it another stream.
  const key = JSON.stringify(stream);
  // biome-ignore lint/correctness/useExhaustiveDependencies: another stream, another ring
  const ring = useMemo(() => new Ring(1), [key]);
  const [rows, setRows] = useState<PanelTick["rows"]>(null);
  const [last, setLast] = useState<{ v: number | null } | null>(null);
  const [error, setError] = useState<ApiError | null>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: another stream begins anew
  useEffect(() => {
    setRows(null);
    setLast(null);
    setError(null);
  }, [key]);
  const paused = useRef(isPaused);
  paused.current = isPaused;
  useStream<PanelTick>(
    stream,
    (tick) => {
      if (tick.reset) ring.load(tick.t, tick.v);
      else for (const [index, t] of tick.t.entries()) ring.push(t, tick.v[index] ?? null);
      if (paused.current) return;
      if (tick.rows) setRows(tick.rows);
      if (panel.kind === "number" || last === null) setLast({ v: ring.last() });
    },
    setError,
  );
  const format = useMemo(() => formatOf(panel.unit, language), [panel.unit, language]);

  if (error) return <FailureCard failure={new Failure(200, error)} compact />;
  if (panel.kind === "bars") {
    const shown = rows ?? [];
    const max = Math.max(...shown.map((row) => Math.abs(row.value)), 1e-9);
    return (
      <div style={{ minHeight: HEIGHT }} className="barlist">
        {rows === null || rows.length === 0 ? (
          <p className="doc">{t(rows === null ? "panel.waiting" : "panel.nothing")}</p>
        ) : (
          <table aria-label={title}>
            <tbody>
              {shown.map((row) => (
                <tr key={row.key}>
                  <th scope="row" title={row.key}>
                    {row.key}
                  </th>
                  <td className="bar-cell">
                    <i
                      style={{
                        width: `${(Math.abs(row.value) / max) * 100}%`,
                        background: row.value < 0 ? "var(--series-2)" : undefined,
                      }}
                    />
                  </td>
                  <td className="figure">{format(row.value)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </div>
    );
  }
  const chart = (height: number) => (
    <LineChart
      label={title}
      ring={ring}
      lines={[{ label: panel.unit || t(`aggregate.${panel.aggregate}`), color: "--series-1" }]}
      windowMs={windowMs}
      height={height}
      format={format}
      isBytes={panel.unit === "bytes"}
      formatAxis={panel.unit === "bytes" || panel.unit === "s" ? undefined : language.rate}
      delayMs={DELAY_MS}
      isPaused={isPaused}
    />
  );
  if (panel.kind === "number") {
    return (
      <div style={{ minHeight: HEIGHT }}>
        <div className="bignumber">{last === null ? "–" : format(last.v)}</div>
        {chart(HEIGHT - 76)}
      </div>
    );
  }
  return chart(HEIGHT - 24);
}
