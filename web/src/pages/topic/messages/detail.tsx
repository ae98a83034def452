// One message, whole: as JSON, as it stands, as bytes; and what can be done with it.
import { ActionIcon, Button, Group, SegmentedControl, Tooltip } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import type { Message, Payload } from "../../../api/contract";
import { get, part } from "../../../api/http";
import { useLanguage } from "../../../i18n";
import { Command, CopyButton, tool } from "../../../ui/copy";
import { FailureCard } from "../../../ui/failure";
import { IconChevronDown, IconSend, IconTrash, IconX } from "../../../ui/icons";
import { JsonView, type Leaf, parseJson } from "../../../ui/json";
import { Ago } from "../../../ui/pieces";
import { useInfo } from "../../../ui/shell";
import type { Draft } from "./produce";

const HEX_BYTES_MAX = 4_096;

const bytesOf = (payload: Payload): Uint8Array =>
  payload.base64 !== null
    ? Uint8Array.from(atob(payload.base64), (char) => char.charCodeAt(0))
    : new TextEncoder().encode(payload.text ?? "");

function hex(payload: Payload): string {
  const bytes = bytesOf(payload).subarray(0, HEX_BYTES_MAX);
  const lines: string[] = [];
  for (let at = 0; at < bytes.length; at += 16) {
    const row = [...bytes.subarray(at, at + 16)];
    const codes = row.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const text = row.map((byte) => (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : "·")).join("");
    lines.push(`${at.toString(16).padStart(6, "0")}  ${codes.padEnd(47)}  ${text}`);
  }
  return lines.join("\n");
}

export function Detail(props: {
  topic: string;
  partition: number;
  offset: number;
  /** As it came in the list, cut perhaps: shown until it is there whole. */
  known: Message | undefined;
  onClose: () => void;
  onStep: (delta: number) => void;
  onColumn: (path: string) => void;
  onFilter: (expression: string) => void;
  onProduce: (draft: Draft) => void;
}) {
  const language = useLanguage();
  const { t, bytes, dateTimeMs, number } = language;
  const { topic, partition, offset } = props;
  const info = useInfo().data;
  const [view, setView] = useState<string | null>(null);
  const [leaf, setLeaf] = useState<Leaf | null>(null);
  const whole = useQuery({
    queryKey: ["message", topic, partition, offset],
    queryFn: ({ signal }) =>
      get<Message>(`/topics/${part(topic)}/messages/${partition}/${offset}`, {}, signal),
    staleTime: Number.POSITIVE_INFINITY,
    placeholderData: undefined,
  });
  const message = whole.data ?? props.known;
  const value = message?.value ?? null;
  const json = useMemo(
    () => (value?.format === "json" && value.text ? parseJson(value.text) : null),
    [value],
  );
  const shown = view ?? (json ? "json" : value?.format === "binary" ? "hex" : "text");
  const server = info?.bootstrap[0] ?? "localhost:9092";
  const text = value?.text ?? value?.base64 ?? "";
  return (
    <aside className="detail card flush" aria-label={t("detail.label")}>
      <header className="detail-head">
        <div>
          <h2 className="numeric">{t("detail.title", { partition, offset: number(offset) })}</h2>
          {message && (
            <span className="doc">
              <Ago ms={message.timestamp} /> · {dateTimeMs(message.timestamp)}
            </span>
          )}
        </div>
        <Group gap={2} ml="auto" wrap="nowrap">
          <Tooltip label={`${t("detail.previous")} · [`}>
            <ActionIcon
              variant="subtle"
              color="gray"
              aria-label={t("detail.previous")}
              onClick={() => props.onStep(-1)}
            >
              <IconChevronDown size={16} style={{ transform: "rotate(180deg)" }} />
            </ActionIcon>
          </Tooltip>
          <Tooltip label={`${t("detail.next")} · ]`}>
            <ActionIcon
              variant="subtle"
              color="gray"
              aria-label={t("detail.next")}
              onClick={() => props.onStep(1)}
            >
              <IconChevronDown size={16} />
            </ActionIcon>
          </Tooltip>
          <ActionIcon variant="subtle" color="gray" aria-label={t("shell.close")} onClick={props.onClose}>
            <IconX size={16} />
          </ActionIcon>
        </Group>
      </header>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls */}
      <div className="detail-body" tabIndex={0} role="group" aria-label={t("detail.label")}>
        {whole.error && !message ? <FailureCard failure={whole.error} retry={() => whole.refetch()} /> : null}
        {message && (
          <>
            <dl className="facts">
              <dt>{t("messages.key")}</dt>
              <dd className={message.key ? "mono" : "doc"}>
                {message.key ? (message.key.text ?? hex(message.key)) : t("messages.noKey")}
              </dd>
              {message.headers.map((header, index) => (
                <div key={index} style={{ display: "contents" }}>
                  <dt className="mono">{header.name}</dt>
                  <dd className="mono">{header.value ? (header.value.text ?? hex(header.value)) : "null"}</dd>
                </div>
              ))}
              <dt>{t("messages.size")}</dt>
              <dd>
                {bytes(value?.sizeBytes ?? 0)}
                {message.key && ` + ${bytes(message.key.sizeBytes)} ${t("detail.keySize")}`}
                {message.compression && ` · ${message.compression}`}
              </dd>
            </dl>
            {value === null ? (
              <p className="doc">{t("detail.tombstone")}</p>
            ) : (
              <>
                <Group gap="xs" mb={8}>
                  <SegmentedControl
                    size="xs"
                    aria-label={t("detail.view")}
                    value={shown}
                    onChange={setView}
                    data={[
                      { value: "json", label: "JSON", disabled: !json },
                      { value: "text", label: t("detail.text") },
                      { value: "hex", label: "Hex" },
                    ]}
                  />
                  <span style={{ marginLeft: "auto" }}>
                    <CopyButton text={text} />
                  </span>
                </Group>
                {leaf && shown === "json" && (
                  <div className="leafbar">
                    <span className="mono">{leaf.path}</span>
                    <Button
                      size="compact-xs"
                      variant="light"
                      onClick={() => props.onFilter(`${leaf.path} == ${leaf.literal}`)}
                    >
                      {t("detail.filterBy")}
                    </Button>
                    <Button size="compact-xs" variant="light" onClick={() => props.onColumn(leaf.path)}>
                      {t("detail.asColumn")}
                    </Button>
                  </div>
                )}
                {shown === "json" && json ? (
                  <JsonView json={json} chosen={leaf?.path} onLeaf={setLeaf} />
                ) : (
                  <pre className="payload">{shown === "hex" ? hex(value) : text}</pre>
                )}
                {(value.truncated || (shown === "hex" && value.sizeBytes > HEX_BYTES_MAX)) && (
                  <p className="doc">{t("detail.cut", { size: bytes(value.sizeBytes) })}</p>
                )}
              </>
            )}
            {!info?.readOnly && (
              <Group gap="xs" mt="md">
                <Button
                  size="compact-sm"
                  variant="default"
                  leftSection={<IconSend size={14} />}
                  onClick={() =>
                    props.onProduce({
                      key: message.key?.text ?? "",
                      hasKey: message.key !== null,
                      value: value?.text ?? "",
                      isTombstone: value === null,
                      partition: "",
                      headers: message.headers.map((header) => [header.name, header.value?.text ?? ""]),
                    })
                  }
                >
                  {t("detail.again")}
                </Button>
                {message.key?.text && (
                  <Button
                    size="compact-sm"
                    variant="default"
                    leftSection={<IconTrash size={14} />}
                    onClick={() =>
                      props.onProduce({
                        key: message.key?.text ?? "",
                        hasKey: true,
                        value: "",
                        isTombstone: true,
                        partition: String(partition),
                        headers: [],
                      })
                    }
                  >
                    {t("detail.makeTombstone")}
                  </Button>
                )}
              </Group>
            )}
            <div style={{ marginTop: 14 }}>
              <Command
                label={t("detail.asCommand")}
                text={`${tool("consumer", server)} --topic ${topic} --partition ${partition} --offset ${offset} --max-messages 1`}
              />
            </div>
          </>
        )}
      </div>
    </aside>
  );
}
