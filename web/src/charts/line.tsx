// A chart of lines over time: uPlot, fed from a ring, moved by the frame loop.
import { useComputedColorScheme } from "@mantine/core";
import { useEffect, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { live } from "../api/live";
import { useLanguage } from "../i18n";
import { paint } from "./frames";
import type { Ring } from "./ring";

export interface Line {
  label: string;
  /** A variable of the theme: `--series-1`. */
  color: string;
}

/** Points come a moment late: the right edge stays behind, so that the line arrives there smoothly. */
const DELAY_MS = 1_200;
/** Steps of an axis of bytes, so that its labels are whole KiB and MiB. */
const BYTE_STEPS = Array.from({ length: 50 }, (_, power) => 2 ** power);

export function LineChart(props: {
  label: string;
  ring: Ring;
  lines: Line[];
  windowMs: number;
  format: (value: number | null) => string;
  /** For the axis, where `format` is long. */
  formatAxis?: (value: number | null) => string;
  height?: number;
  isBytes?: boolean;
  /** Counts: no fractions on the axis. */
  isWhole?: boolean;
  /** Points come once in so many milliseconds. */
  delayMs?: number;
  /** Fixed range instead of a window that moves. */
  range?: [number, number];
  isPaused?: boolean;
  /** A line across, with what it says. */
  threshold?: number | null;
  /** Spans to shade. */
  bands?: { from: number; to: number }[];
}) {
  const { ring, windowMs, height = 180 } = props;
  const language = useLanguage();
  const scheme = useComputedColorScheme("light");
  const box = useRef<HTMLDivElement>(null);
  const legend = useRef<HTMLDivElement>(null);
  const latest = useRef(props);
  latest.current = props;
  const lineKey = JSON.stringify(props.lines);

  // biome-ignore lint/correctness/useExhaustiveDependencies: the scheme changes the colours that are read here
  useEffect(() => {
    const element = box.current!;
    const style = getComputedStyle(document.documentElement);
    const color = (name: string) => style.getPropertyValue(name).trim();
    const lines: Line[] = JSON.parse(lineKey);
    const text = color("--mantine-color-dimmed");
    const grid = { stroke: color("--grid"), width: 1 };
    const font = `11px ${style.getPropertyValue("--mantine-font-family")}`;

    const shade = (plot: uPlot) => {
      const { bands, threshold } = latest.current;
      const { ctx, bbox } = plot;
      ctx.save();
      for (const band of bands ?? []) {
        const left = Math.max(plot.valToPos(band.from, "x", true), bbox.left);
        const right = Math.min(plot.valToPos(band.to, "x", true), bbox.left + bbox.width);
        ctx.globalAlpha = 0.16;
        ctx.fillStyle = color("--bad");
        if (right > left) ctx.fillRect(left, bbox.top, right - left, bbox.height);
      }
      if (threshold !== null && threshold !== undefined) {
        const y = plot.valToPos(threshold, "y", true);
        ctx.globalAlpha = 1;
        ctx.strokeStyle = color("--bad");
        ctx.setLineDash([5 * devicePixelRatio, 4 * devicePixelRatio]);
        ctx.lineWidth = devicePixelRatio;
        ctx.beginPath();
        ctx.moveTo(bbox.left, y);
        ctx.lineTo(bbox.left + bbox.width, y);
        ctx.stroke();
      }
      ctx.restore();
    };

    const plot = new uPlot(
      {
        width: Math.max(element.clientWidth, 50),
        height,
        ms: 1,
        padding: [8, 4, 0, 0],
        cursor: { y: false, points: { size: 7 }, drag: { x: false, y: false } },
        legend: { show: false },
        scales: {
          x: { time: true, auto: false },
          y: {
            range: (_, __, max) => {
              const top = Math.max(
                max ?? 0,
                latest.current.threshold ?? 0,
                latest.current.isWhole ? 4 : 1e-9,
              );
              return [0, top * 1.12];
            },
          },
        },
        axes: [
          {
            stroke: text,
            font,
            grid: { show: false },
            ticks: { show: false },
            size: 26,
            space: 84,
            values: (_, splits, __, ___, increment) =>
              splits.map((split) => language.time(split).slice(0, increment >= 60_000 ? 5 : 8)),
          },
          {
            stroke: text,
            font,
            grid,
            ticks: { show: false },
            size: 62,
            space: 34,
            ...(props.isBytes && { incrs: BYTE_STEPS }),
            values: (_, splits) =>
              splits.map((split) => (latest.current.formatAxis ?? latest.current.format)(split)),
          },
        ],
        series: [
          {},
          ...lines.map((line, index) => ({
            label: line.label,
            stroke: color(line.color),
            width: 1.75,
            points: { show: false },
            fill: index === 0 ? `color-mix(in srgb, ${color(line.color)} 11%, transparent)` : undefined,
          })),
        ],
        hooks: {
          drawClear: [shade],
          setCursor: [() => tell()],
        },
      },
      [ring.t, ...ring.v] as uPlot.AlignedData,
      element,
    );

    const tell = () => {
      const { format } = latest.current;
      const at = plot.cursor.idx;
      const index = at ?? ring.t.length - 1;
      const when = at === null || at === undefined ? "" : `${language.time(ring.t[at] ?? 0)}  `;
      const cells = legend.current?.querySelectorAll("b");
      cells?.forEach((cell, column) => {
        const value = format(ring.v[column]?.[index] ?? null);
        const shown = column === 0 ? when + value : value;
        if (cell.textContent !== shown) cell.textContent = shown;
      });
    };

    let drawn = -1;
    const stop = paint(() => {
      const { isPaused, range, delayMs = DELAY_MS } = latest.current;
      const isNew = ring.version !== drawn;
      if (isPaused && !isNew) return;
      if (isNew) {
        drawn = ring.version;
        plot.setData([ring.t, ...ring.v] as uPlot.AlignedData, false);
        tell();
      } else if (range) {
        return;
      }
      const max = range ? range[1] : live.now() - delayMs;
      plot.setScale("x", { min: range ? range[0] : max - latest.current.windowMs, max });
    });
    const observer = new ResizeObserver(() => {
      if (element.clientWidth > 0) plot.setSize({ width: element.clientWidth, height });
    });
    observer.observe(element);
    return () => {
      stop();
      observer.disconnect();
      plot.destroy();
    };
  }, [ring, lineKey, height, scheme, language, windowMs]);

  return (
    <div>
      <div className="legend" ref={legend} style={{ minHeight: 18, marginBottom: 4 }}>
        {props.lines.map((line) => (
          <span key={line.label}>
            <i style={{ background: `var(${line.color})` }} />
            {line.label} <b />
          </span>
        ))}
      </div>
      <div
        ref={box}
        className="chart"
        style={{ height }}
        role="img"
        aria-label={`${props.label}: ${props.lines.map((line, index) => `${line.label} ${props.format(ring.last(index))}`).join(", ")}`}
      />
    </div>
  );
}
