// How many messages there are over time; drawing across a part of it goes there.
import { Button } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useRef, useState } from "react";
import type { Histogram as Data } from "../../../api/contract";
import { get, part } from "../../../api/http";
import { useLanguage } from "../../../i18n";

const BUCKETS = 120;
const HEIGHT = 56;

export function Histogram(props: {
  topic: string;
  partitions: string | undefined;
  range: [number, number] | null;
  onRange: (range: [number, number] | null) => void;
}) {
  const { t, time, dateTime, number } = useLanguage();
  const [drag, setDrag] = useState<[number, number] | null>(null);
  const [hovered, setHovered] = useState<number | null>(null);
  const box = useRef<SVGSVGElement>(null);
  const { data } = useQuery({
    queryKey: ["topic", props.topic, "histogram", props.partitions],
    queryFn: ({ signal }) =>
      get<Data>(
        `/topics/${part(props.topic)}/histogram`,
        { buckets: BUCKETS, partitions: props.partitions },
        signal,
      ),
    refetchInterval: 10_000,
  });
  const total = data?.counts.reduce((sum, count) => sum + count, 0) ?? 0;
  if (!data || total === 0) return null;
  const { fromMs, toMs, bucketMs, counts } = data;
  const max = Math.max(...counts);
  const width = counts.length;
  const at = (clientX: number) => {
    const { left, width: px } = box.current!.getBoundingClientRect();
    return Math.max(0, Math.min(1, (clientX - left) / px));
  };
  const timeAt = (share: number) => Math.round(fromMs + share * (toMs - fromMs));
  const shownRange = drag ? ([timeAt(Math.min(...drag)), timeAt(Math.max(...drag))] as const) : props.range;
  const x = (ms: number) => ((ms - fromMs) / (toMs - fromMs)) * width;
  const label = toMs - fromMs > 86_400_000 ? dateTime : time;
  return (
    <div className="histogram">
      <svg
        ref={box}
        viewBox={`0 0 ${width} ${HEIGHT}`}
        preserveAspectRatio="none"
        height={HEIGHT}
        role="img"
        aria-label={t("histogram.label", {
          total: number(total),
          from: dateTime(fromMs),
          to: dateTime(toMs),
        })}
        onPointerDown={(event) => {
          event.currentTarget.setPointerCapture(event.pointerId);
          setDrag([at(event.clientX), at(event.clientX)]);
        }}
        onPointerMove={(event) => {
          const share = at(event.clientX);
          setHovered(Math.min(counts.length - 1, Math.floor(share * counts.length)));
          if (drag) setDrag([drag[0], share]);
        }}
        onPointerLeave={() => setHovered(null)}
        onPointerUp={() => {
          if (!drag) return;
          const from = Math.min(...drag);
          const to = Math.max(...drag);
          setDrag(null);
          // A click means the bar under it.
          const isClick = to - from < 0.004;
          const bucket = Math.floor(from * counts.length);
          props.onRange(
            isClick
              ? [Math.floor(fromMs + bucket * bucketMs), Math.ceil(fromMs + (bucket + 1) * bucketMs)]
              : [timeAt(from), timeAt(to)],
          );
        }}
      >
        {counts.map((count, index) => {
          const height = count === 0 ? 0 : Math.max(2, (count / max) * (HEIGHT - 2));
          const ms = fromMs + (index + 0.5) * bucketMs;
          const isIn = !shownRange || (ms >= shownRange[0] && ms <= shownRange[1]);
          return (
            <rect
              key={index}
              x={index + 0.12}
              y={HEIGHT - height}
              width={0.76}
              height={height}
              fill="var(--series-1)"
              opacity={hovered === index ? 1 : isIn ? 0.72 : 0.22}
            />
          );
        })}
        {shownRange && (
          <rect
            x={x(shownRange[0])}
            width={Math.max(0.2, x(shownRange[1]) - x(shownRange[0]))}
            y={0}
            height={HEIGHT}
            fill="var(--accent)"
            opacity={0.12}
          />
        )}
      </svg>
      <div className="histogram-foot numeric">
        <span>{label(fromMs)}</span>
        <span>
          {hovered !== null && !drag
            ? t("histogram.bucket", { n: counts[hovered] ?? 0, from: label(fromMs + hovered * bucketMs) })
            : shownRange
              ? `${dateTime(shownRange[0])} – ${dateTime(shownRange[1])}`
              : t("histogram.hint")}
          {props.range && !drag && (
            <Button size="compact-xs" variant="subtle" ml={6} onClick={() => props.onRange(null)}>
              {t("histogram.clear")}
            </Button>
          )}
        </span>
        <span>{label(toMs)}</span>
      </div>
    </div>
  );
}
