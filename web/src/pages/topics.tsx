// All topics: searched, sorted and paged by the server, with rates that move.
import { ActionIcon, Button, Switch, TextInput } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import type { Page as Rows, TopicRow, TopicsTick } from "../api/contract";
import { get } from "../api/http";
import { useStreamed } from "../api/live";
import { useLanguage } from "../i18n";
import { prefer, usePreferences } from "../preferences";
import { useQueryState } from "../router";
import { Command } from "../ui/copy";
import { FailureCard } from "../ui/failure";
import { IconPlus, IconSearch, IconStar, IconStarFilled, IconTopic } from "../ui/icons";
import { Empty, Link, Page, Pill, Sparkline, Waiting } from "../ui/pieces";
import { useInfo } from "../ui/shell";
import { type Column, DataTable, Pager } from "../ui/table";
import { CreateTopic } from "./topics/create";

const SIZE = 50;

export function Topics() {
  const language = useLanguage();
  const { t, count, bytes, rate, duration } = language;
  const [query, setQuery] = useQueryState();
  const { favourites } = usePreferences();
  const info = useInfo().data;
  const page = Number(query.page ?? 1);
  const sort = query.sort ?? "name";
  const [text, setText] = useState(query.q ?? "");
  const [wanted] = useDebouncedValue(text, 150);
  useEffect(() => {
    if (wanted !== (query.q ?? "")) setQuery({ q: wanted, page: null });
  }, [wanted, query.q, setQuery]);

  const list = useQuery({
    queryKey: ["topics", query.q, query.internal, page, sort],
    queryFn: ({ signal }) =>
      get<Rows<TopicRow>>(
        "/topics",
        { q: query.q, internal: query.internal, page, size: SIZE, sort },
        signal,
      ),
    refetchInterval: 10_000,
  });
  const rows = list.data?.items ?? [];
  const ticks = useStreamed<TopicsTick>(
    rows.length ? { kind: "topics", names: rows.map((row) => row.name) } : null,
  );

  const columns: Column<TopicRow>[] = [
    {
      key: "star",
      label: t("topics.favourite"),
      hideLabel: true,
      width: 36,
      render: ({ name }) => {
        const isStarred = favourites.includes(name);
        return (
          <ActionIcon
            variant="transparent"
            color={isStarred ? "yellow.7" : "gray"}
            size="sm"
            aria-pressed={isStarred}
            aria-label={t("topics.favouriteOf", { name })}
            onClick={() =>
              prefer({
                favourites: isStarred ? favourites.filter((other) => other !== name) : [...favourites, name],
              })
            }
          >
            {isStarred ? <IconStarFilled size={15} /> : <IconStar size={15} stroke={1.5} />}
          </ActionIcon>
        );
      },
    },
    {
      key: "name",
      label: t("topics.name"),
      sort: "name",
      render: (row) => (
        <span style={{ display: "inline-flex", alignItems: "center", gap: 8 }}>
          <Link to="/topics/$topic" params={{ topic: row.name }} data-row-link="" className="strong">
            {row.name}
          </Link>
          {row.internal && <Pill tone="calm">{t("topics.internal")}</Pill>}
          {row.cleanupPolicy.includes("compact") && <Pill tone="accent">{t("topics.compacted")}</Pill>}
          {row.underReplicated > 0 && (
            <Pill tone="bad">{t("topics.underReplicated", { n: row.underReplicated })}</Pill>
          )}
        </span>
      ),
    },
    {
      key: "partitions",
      label: t("topics.partitions"),
      sort: "partitions",
      right: true,
      render: (row) => count(row.partitions),
    },
    {
      key: "rf",
      label: t("topics.replication"),
      sort: "replicationFactor",
      right: true,
      render: (row) => row.replicationFactor,
    },
    {
      key: "messages",
      label: t("topics.messages"),
      sort: "messages",
      right: true,
      render: (row) => count(ticks?.topics[row.name]?.messages ?? row.messages),
    },
    {
      key: "size",
      label: t("topics.size"),
      sort: "sizeBytes",
      right: true,
      render: (row) => bytes(ticks?.topics[row.name]?.sizeBytes ?? row.sizeBytes),
    },
    {
      key: "rate",
      label: t("topics.rate"),
      sort: "inMessages",
      right: true,
      render: (row) => (
        <span style={{ display: "inline-flex", alignItems: "center", gap: 12 }}>
          <Sparkline values={row.sparkline} width={72} height={20} />
          <span style={{ minWidth: 46 }}>{rate(ticks?.topics[row.name]?.inMessages ?? row.inMessages)}</span>
        </span>
      ),
    },
    {
      key: "retention",
      label: t("topics.retention"),
      right: true,
      render: (row) =>
        row.cleanupPolicy === "compact"
          ? "–"
          : row.retentionMs === null || row.retentionMs < 0
            ? t("topics.forever")
            : duration(row.retentionMs / 1000),
    },
    {
      key: "groups",
      label: t("topics.groups"),
      sort: "groups",
      right: true,
      render: (row) => count(row.groups),
    },
  ];

  const isFiltered = Boolean(query.q);
  return (
    <Page
      title={t("nav.topics")}
      actions={
        !info?.readOnly && (
          <Button leftSection={<IconPlus size={16} />} onClick={() => setQuery({ create: "1" })}>
            {t("topics.create")}
          </Button>
        )
      }
    >
      <div className="card flush">
        <div className="toolbar">
          <TextInput
            data-filter
            leftSection={<IconSearch size={16} aria-hidden="true" />}
            placeholder={t("topics.search")}
            aria-label={t("topics.search")}
            value={text}
            onChange={(event) => setText(event.currentTarget.value)}
            onKeyDown={(event) => event.key === "Escape" && setText("")}
            w={300}
            maw="100%"
          />
          {favourites.length > 0 && (
            <nav aria-label={t("topics.favourites")} style={{ display: "flex", gap: 8, flexWrap: "wrap" }}>
              {favourites.slice(0, 6).map((name) => (
                <Link key={name} to="/topics/$topic" params={{ topic: name }} className="pill soft-calm">
                  <IconStarFilled size={11} aria-hidden="true" />
                  {name}
                </Link>
              ))}
            </nav>
          )}
          <Switch
            size="sm"
            ml="auto"
            label={t("topics.showInternal")}
            checked={query.internal === "true"}
            onChange={(event) => setQuery({ internal: event.currentTarget.checked, page: null })}
          />
        </div>
        {list.error && !list.data ? (
          <div style={{ padding: 16 }}>
            <FailureCard failure={list.error} retry={() => list.refetch()} />
          </div>
        ) : !list.data ? (
          <div style={{ padding: 16 }}>
            <Waiting rows={2} />
          </div>
        ) : rows.length === 0 ? (
          isFiltered ? (
            <Empty
              icon={<IconSearch size={26} />}
              title={t("topics.noMatch", { q: query.q ?? "" })}
              text={t("topics.noMatchText")}
            >
              <Button variant="default" onClick={() => setText("")}>
                {t("topics.clear")}
              </Button>
            </Empty>
          ) : (
            <Empty icon={<IconTopic size={26} />} title={t("topics.none")} text={t("topics.noneText")}>
              <Command
                text={`kafka-topics.sh --bootstrap-server ${info?.bootstrap[0] ?? "localhost:9092"} --create --topic hello`}
              />
            </Empty>
          )
        ) : (
          <>
            <DataTable
              label={t("nav.topics")}
              columns={columns}
              rows={rows}
              rowKey={(row) => row.name}
              sort={sort}
              onSort={(next) => setQuery({ sort: next === "name" ? null : next, page: null })}
              first={(page - 1) * SIZE}
              total={list.data.total}
            />
            <Pager
              page={page}
              size={SIZE}
              total={list.data.total}
              onPage={(next) => setQuery({ page: next === 1 ? null : next })}
            />
          </>
        )}
      </div>
      {query.create && <CreateTopic onClose={() => setQuery({ create: null })} />}
    </Page>
  );
}
