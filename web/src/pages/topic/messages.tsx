// The messages of a topic: from either end, from an offset or a time, or as they come.
import {
  ActionIcon,
  Button,
  Menu,
  MultiSelect,
  NumberInput,
  SegmentedControl,
  TextInput,
  Tooltip,
} from "@mantine/core";
import { useDebouncedValue, useHotkeys } from "@mantine/hooks";
import { useEffect, useState } from "react";
import type { Message, TopicDetail } from "../../api/contract";
import { part, url } from "../../api/http";
import { useLanguage } from "../../i18n";
import type { Change, Query } from "../../router";
import { Command, tool } from "../../ui/copy";
import { FailureCard } from "../../ui/failure";
import { Failure } from "../../api/http";
import {
  IconDots,
  IconDownload,
  IconFilter,
  IconPause,
  IconPlay,
  IconRefresh,
  IconSearch,
  IconSend,
  IconStop,
  IconTopic,
  IconUpload,
  IconX,
} from "../../ui/icons";
import { Empty } from "../../ui/pieces";
import { useInfo } from "../../ui/shell";
import { Detail } from "./messages/detail";
import { Filters } from "./messages/filters";
import { Histogram } from "./messages/histogram";
import { Import } from "./messages/import";
import { idOf, MessageList } from "./messages/list";
import { type Draft, EMPTY_DRAFT, Produce } from "./messages/produce";
import { type From, useSearch, wanted } from "./messages/search";
import { TAIL_MAX, useTail } from "./messages/tail";

const LIST_PX_MIN = 320;

/** `2026-01-31T12:00:00`, as the field of the browser has it, in local time. */
const localField = (ms: number) =>
  new Date(ms - new Date(ms).getTimezoneOffset() * 60_000).toISOString().slice(0, 19);

export function Messages(props: {
  topic: TopicDetail;
  query: Query;
  setQuery: (change: Change, options?: { push?: boolean }) => void;
}) {
  const { topic, query, setQuery } = props;
  const { t, count, duration, rate, bytes } = useLanguage();
  const info = useInfo().data;
  const { from, params, tail: tailFilter, isFiltered } = wanted(query);
  const isLive = from === "live";
  const [isPaused, setPaused] = useState(false);
  const [draft, setDraft] = useState<Draft | null>(null);
  const [isImporting, setImporting] = useState(false);
  const [text, setText] = useState(query.q ?? "");
  const [settled] = useDebouncedValue(text, 300);
  useEffect(() => {
    if (settled !== (query.q ?? "")) setQuery({ q: settled });
  }, [settled, query.q, setQuery]);

  const search = useSearch(topic.name, isLive ? null : params);
  const tail = useTail(isLive ? topic.name : null, tailFilter, isPaused);
  const messages = isLive ? tail.messages : search.messages;
  const columns = query.columns ? query.columns.split("|") : [];
  const areFiltersOpen = query.filters === "1" || Boolean(query.key || query.header || query.filter);

  const [atPartition, atOffset] = (query.at ?? "").split(":").map(Number);
  const chosen = query.at ?? null;
  const choose = (message: Message) => {
    if (isLive) setPaused(true);
    setQuery({ at: idOf(message) });
  };
  const stepBy = (delta: number) => {
    const index = messages.findIndex((message) => idOf(message) === chosen);
    const next = messages[index + delta];
    if (next) choose(next);
  };
  const go = (next: From) => {
    setPaused(false);
    const change: Change = {
      from: next === "newest" ? null : next,
      offset: null,
      time: null,
      until: null,
      at: null,
    };
    if (next === "time") change.time = Date.now() - 15 * 60_000;
    if (next === "offset") change.offset = topic.partitionList[0]?.beginOffset ?? 0;
    setQuery(change);
    if (next === from) search.again();
  };
  useHotkeys([
    ["n", () => go("newest")],
    ["o", () => go("oldest")],
    ["l", () => go("live")],
    ["p", () => !info?.readOnly && setDraft(EMPTY_DRAFT)],
    ["space", () => isLive && setPaused((isPaused) => !isPaused)],
    ["[", () => stepBy(-1)],
    ["]", () => stepBy(1)],
    ["Escape", () => chosen && setQuery({ at: null })],
  ]);

  const listPx = Math.max(LIST_PX_MIN, Math.min(messages.length * 34 + 40, window.innerHeight - 330));
  const server = info?.bootstrap[0] ?? "localhost:9092";
  const exportUrl = (format: string) =>
    url(`/topics/${part(topic.name)}/export`, {
      ...(isLive ? { ...params, from: "oldest" } : params),
      format,
    });
  const range: [number, number] | null =
    from === "time" && query.time && query.until ? [Number(query.time), Number(query.until)] : null;
  const { progress } = search;
  return (
    <div className="grid">
      <div className="card flush">
        <div className="toolbar">
          <SegmentedControl
            aria-label={t("messages.from")}
            value={from}
            onChange={(next) => go(next as From)}
            data={(["newest", "oldest", "offset", "time", "live"] as const).map((one) => ({
              value: one,
              label: t(`messages.from.${one}`),
            }))}
            size="xs"
          />
          {from === "offset" && (
            <NumberInput
              aria-label={t("messages.offset")}
              value={query.offset ?? "0"}
              onChange={(offset) => setQuery({ offset: offset === "" ? null : offset })}
              min={0}
              allowDecimal={false}
              hideControls
              size="xs"
              w={120}
            />
          )}
          {from === "time" && (
            <TextInput
              type="datetime-local"
              step={1}
              aria-label={t("messages.fromTime")}
              value={localField(Number(query.time ?? Date.now()))}
              onChange={(event) => {
                const time = new Date(event.currentTarget.value).getTime();
                if (Number.isFinite(time)) setQuery({ time });
              }}
              size="xs"
            />
          )}
          <TextInput
            data-filter
            leftSection={<IconSearch size={15} aria-hidden="true" />}
            rightSection={
              text && (
                <ActionIcon
                  size="sm"
                  variant="subtle"
                  color="gray"
                  aria-label={t("topics.clear")}
                  onClick={() => setText("")}
                >
                  <IconX size={13} />
                </ActionIcon>
              )
            }
            placeholder={t("messages.search")}
            aria-label={t("messages.search")}
            value={text}
            onChange={(event) => setText(event.currentTarget.value)}
            size="xs"
            style={{ flex: 1, minWidth: 160, maxWidth: 320 }}
          />
          {topic.partitions > 1 && (
            <MultiSelect
              aria-label={t("messages.partitions")}
              placeholder={query.partitions ? "" : t("messages.allPartitions")}
              data={topic.partitionList.map((one) => String(one.partition))}
              value={query.partitions ? query.partitions.split(",") : []}
              onChange={(list) => setQuery({ partitions: list.join(",") })}
              size="xs"
              w={170}
              clearable
              clearButtonProps={{ "aria-label": t("topics.clear") }}
            />
          )}
          <Button
            size="xs"
            variant={areFiltersOpen ? "light" : "default"}
            leftSection={<IconFilter size={14} />}
            aria-expanded={areFiltersOpen}
            onClick={() =>
              areFiltersOpen
                ? setQuery({ filters: null, key: null, header: null, filter: null })
                : setQuery({ filters: "1" })
            }
          >
            {t("messages.filter")}
          </Button>
          <div style={{ marginLeft: "auto", display: "flex", gap: 6 }}>
            {isLive ? (
              <Button
                size="xs"
                variant="default"
                leftSection={isPaused ? <IconPlay size={14} /> : <IconPause size={14} />}
                onClick={() => setPaused(!isPaused)}
              >
                {t(isPaused ? "messages.resume" : "messages.pause")}
              </Button>
            ) : (
              <Tooltip label={t("messages.again")}>
                <ActionIcon
                  variant="default"
                  size={30}
                  aria-label={t("messages.again")}
                  onClick={search.again}
                >
                  <IconRefresh size={15} />
                </ActionIcon>
              </Tooltip>
            )}
            {!info?.readOnly && (
              <Button size="xs" leftSection={<IconSend size={14} />} onClick={() => setDraft(EMPTY_DRAFT)}>
                {t("produce.button")}
              </Button>
            )}
            <Menu position="bottom-end">
              <Menu.Target>
                <ActionIcon variant="default" size={30} aria-label={t("messages.transfer")}>
                  <IconDots size={16} />
                </ActionIcon>
              </Menu.Target>
              <Menu.Dropdown>
                <Menu.Label>{t(isFiltered ? "messages.exportMatches" : "messages.exportAll")}</Menu.Label>
                <Menu.Item
                  component="a"
                  href={exportUrl("jsonl")}
                  download
                  leftSection={<IconDownload size={15} />}
                >
                  {t("messages.exportJson")}
                </Menu.Item>
                <Menu.Item
                  component="a"
                  href={exportUrl("csv")}
                  download
                  leftSection={<IconDownload size={15} />}
                >
                  CSV
                </Menu.Item>
                {!info?.readOnly && (
                  <>
                    <Menu.Divider />
                    <Menu.Item leftSection={<IconUpload size={15} />} onClick={() => setImporting(true)}>
                      {t("import.menu")}
                    </Menu.Item>
                  </>
                )}
              </Menu.Dropdown>
            </Menu>
          </div>
        </div>
        {areFiltersOpen && <Filters topic={topic.name} query={query} setQuery={setQuery} />}
        {!isLive && (
          <Histogram
            topic={topic.name}
            partitions={query.partitions}
            range={range}
            onRange={(next) =>
              setQuery(
                next
                  ? { from: "time", time: next[0], until: next[1], at: null }
                  : { from: null, time: null, until: null, at: null },
              )
            }
          />
        )}
        {columns.length > 0 && (
          <div className="chips">
            {columns.map((path) => (
              <button
                key={path}
                type="button"
                className="chip mono"
                aria-label={t("messages.removeColumn", { path })}
                onClick={() => setQuery({ columns: columns.filter((other) => other !== path).join("|") })}
              >
                {path} <IconX size={11} aria-hidden="true" />
              </button>
            ))}
          </div>
        )}
      </div>
      <div className="split" data-open={chosen !== null || undefined}>
        <div className="card flush" style={{ minWidth: 0 }}>
          {search.failure !== null && !isLive ? (
            <div style={{ padding: 14 }}>
              <FailureCard failure={search.failure} retry={search.again} />
            </div>
          ) : tail.error && isLive ? (
            <div style={{ padding: 14 }}>
              <FailureCard failure={new Failure(200, tail.error)} />
            </div>
          ) : messages.length === 0 && !search.isRunning ? (
            isFiltered || range ? (
              <Empty
                icon={<IconSearch size={26} />}
                title={t("messages.noMatch")}
                text={t("messages.noMatchText")}
              >
                <Button
                  variant="default"
                  onClick={() => {
                    setText("");
                    setQuery({
                      q: null,
                      key: null,
                      header: null,
                      filter: null,
                      from: null,
                      time: null,
                      until: null,
                    });
                  }}
                >
                  {t("messages.clearFilters")}
                </Button>
              </Empty>
            ) : (
              <Empty
                icon={<IconTopic size={26} />}
                title={t(isLive ? "messages.waiting" : "messages.none")}
                text={t(isLive ? "messages.waitingText" : "messages.noneText")}
              >
                <Command text={`echo 'hello' | ${tool("producer", server)} --topic ${topic.name}`} />
              </Empty>
            )
          ) : (
            <MessageList
              label={t("topic.tab.messages")}
              messages={messages}
              columns={columns}
              chosen={chosen}
              onChoose={choose}
              height={listPx}
            />
          )}
          <div className="status numeric" role="status" aria-live="off">
            {isLive ? (
              <>
                <span>
                  <span
                    className={`dot ${isPaused ? "tone-warn" : "tone-good beats"}`}
                    style={{ display: "inline-block", marginRight: 6 }}
                  />
                  {isPaused
                    ? t("tail.paused", { n: tail.missed, text: count(tail.missed) })
                    : t("tail.rate", { rate: rate(tail.tick?.seenRate ?? 0) })}
                </span>
                {tail.tick && (
                  <span>
                    {t("tail.counts", {
                      seen: count(tail.tick.seen),
                      matched: count(tail.tick.matched),
                      shown: count(tail.tick.shown),
                    })}
                  </span>
                )}
                <span style={{ marginLeft: "auto" }}>{t("tail.kept", { n: TAIL_MAX })}</span>
              </>
            ) : (
              <>
                {progress && (
                  <span data-progress="">
                    {t("search.progress", {
                      matched: count(progress.matched),
                      scanned: count(progress.scanned),
                      size: bytes(progress.scannedBytes),
                      time: duration(progress.elapsedMs / 1000),
                    })}
                  </span>
                )}
                {search.isRunning && (
                  <Button
                    size="compact-xs"
                    variant="light"
                    leftSection={<IconStop size={12} />}
                    onClick={search.cancel}
                  >
                    {t("search.cancel")}
                  </Button>
                )}
                {search.wasCancelled && <span>{t("search.cancelled")}</span>}
                {!search.isRunning && search.next && (
                  <Button
                    size="compact-xs"
                    variant="light"
                    onClick={search.more}
                    style={{ marginLeft: "auto" }}
                  >
                    {t("search.more")}
                  </Button>
                )}
                {!search.isRunning && !search.next && !search.wasCancelled && messages.length > 0 && (
                  <span style={{ marginLeft: "auto" }}>{t("search.end")}</span>
                )}
              </>
            )}
          </div>
        </div>
        {chosen !== null && Number.isFinite(atPartition) && Number.isFinite(atOffset) && (
          <Detail
            key={chosen}
            topic={topic.name}
            partition={atPartition!}
            offset={atOffset!}
            known={messages.find((message) => idOf(message) === chosen)}
            onClose={() => setQuery({ at: null })}
            onStep={stepBy}
            onColumn={(path) =>
              !columns.includes(path) && setQuery({ columns: [...columns, path].join("|") })
            }
            onFilter={(expression) =>
              setQuery({
                filters: "1",
                filter: query.filter ? `${query.filter} && ${expression}` : expression,
              })
            }
            onProduce={setDraft}
          />
        )}
      </div>
      {draft && (
        <Produce
          topic={topic}
          draft={draft}
          onClose={() => setDraft(null)}
          onProduced={(partition, offset) => setQuery({ at: `${partition}:${offset}` })}
        />
      )}
      {isImporting && <Import topic={topic.name} onClose={() => setImporting(false)} />}
    </div>
  );
}
