// The messages as rows, only those in view drawn; walked with the arrow keys.
import { useVirtualizer } from "@tanstack/react-virtual";
import { type KeyboardEvent, useEffect, useRef } from "react";
import type { Message, Payload } from "../../../api/contract";
import { useLanguage } from "../../../i18n";
import { parseJson, pick } from "../../../ui/json";

const ROW_PX = 34;

export const idOf = (message: Message) => `${message.partition}:${message.offset}`;

/** What of a key or value fits on a line. */
export function preview(payload: Payload | null, empty: string): string {
  if (!payload) return empty;
  if (payload.format === "binary") {
    const bytes = atob((payload.base64 ?? "").slice(0, 128));
    return [...bytes].map((byte) => byte.charCodeAt(0).toString(16).padStart(2, "0")).join(" ");
  }
  return (payload.text ?? "").slice(0, 400).replace(/\s+/g, " ");
}

export function MessageList(props: {
  label: string;
  messages: Message[];
  columns: string[];
  chosen: string | null;
  onChoose: (message: Message) => void;
  height: number;
}) {
  const { messages, columns, chosen, onChoose } = props;
  const { t, stamp, bytes } = useLanguage();
  const scroller = useRef<HTMLDivElement>(null);
  const rows = useVirtualizer({
    count: messages.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW_PX,
    overscan: 12,
  });
  const at = messages.findIndex((message) => idOf(message) === chosen);
  useEffect(() => {
    if (at >= 0) rows.scrollToIndex(at);
  }, [at, rows]);

  const walk = (event: KeyboardEvent) => {
    const delta = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1, PageDown: 10, PageUp: -10 }[event.key];
    if (!delta) return;
    event.preventDefault();
    const next = messages[Math.max(0, Math.min(messages.length - 1, at + delta))];
    if (next) onChoose(next);
  };
  const template = `160px 52px 92px minmax(110px, 0.6fr) ${columns.map(() => "minmax(90px, 0.7fr)").join(" ")} minmax(160px, 2.4fr) 76px`;
  const heads = [
    t("messages.time"),
    t("messages.partitionShort"),
    t("messages.offset"),
    t("messages.key"),
    ...columns.map((path) => path.replace(/^value\./, "")),
    t("messages.value"),
    t("messages.size"),
  ];
  return (
    <div
      ref={scroller}
      className="messages"
      role="grid"
      aria-label={props.label}
      aria-rowcount={messages.length + 1}
      aria-activedescendant={at >= 0 ? `message-${chosen}` : undefined}
      tabIndex={0}
      onKeyDown={walk}
      style={{ height: props.height }}
    >
      <div role="rowgroup" style={{ minWidth: 760 + columns.length * 90 }}>
        <div role="row" aria-rowindex={1} className="message head" style={{ gridTemplateColumns: template }}>
          {heads.map((head, index) => (
            <span
              key={`${head}-${index}`}
              role="columnheader"
              className={[1, 2, heads.length - 1].includes(index) ? "right" : undefined}
            >
              {head}
            </span>
          ))}
        </div>
        <div role="presentation" style={{ height: rows.getTotalSize(), position: "relative" }}>
          {rows.getVirtualItems().map((item) => {
            const message = messages[item.index]!;
            const id = idOf(message);
            const json =
              columns.length > 0 && message.value?.format === "json"
                ? parseJson(message.value.text ?? "")
                : null;
            return (
              // biome-ignore lint/a11y/useKeyWithClickEvents: the grid has the keys
              <div
                key={id}
                id={`message-${id}`}
                role="row"
                aria-rowindex={item.index + 2}
                aria-selected={id === chosen}
                className="message"
                style={{ gridTemplateColumns: template, transform: `translateY(${item.start}px)` }}
                onClick={() => onChoose(message)}
              >
                <span role="gridcell" className="time">
                  {stamp(message.timestamp)}
                </span>
                <span role="gridcell" className="right">
                  {message.partition}
                </span>
                <span role="gridcell" className="right">
                  {message.offset}
                </span>
                <span role="gridcell" className={message.key ? "mono" : "nothing"}>
                  {preview(message.key, t("messages.noKey"))}
                </span>
                {columns.map((path) => (
                  <span key={path} role="gridcell" className="mono">
                    {pick(json, path.replace(/^value/, "")) ?? "–"}
                  </span>
                ))}
                <span role="gridcell" className={message.value ? "mono" : "nothing"}>
                  {preview(message.value, t("messages.tombstone"))}
                </span>
                <span role="gridcell" className="right size">
                  {bytes(message.value?.sizeBytes ?? 0)}
                </span>
              </div>
            );
          })}
        </div>
      </div>
    </div>
  );
}
