// All consumer groups, the ones furthest behind first.
import { Select, TextInput } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import type { GroupRow, Page as Rows } from "../api/contract";
import { get } from "../api/http";
import { useLanguage } from "../i18n";
import { useQueryState } from "../router";
import { Command, tool } from "../ui/copy";
import { FailureCard } from "../ui/failure";
import { IconSearch, IconUsers } from "../ui/icons";
import { Empty, Link, Page, Pill, type Tone, Trend, Waiting } from "../ui/pieces";
import { useInfo } from "../ui/shell";
import { type Column, DataTable, Pager } from "../ui/table";

const SIZE = 50;
const STATES = [
  "Stable",
  "Empty",
  "PreparingRebalance",
  "CompletingRebalance",
  "Assigning",
  "Reconciling",
  "Dead",
];

export function StatePill(props: { state: string }) {
  const { maybe } = useLanguage();
  const tones: Record<string, Tone> = { Stable: "good", Empty: "calm", Dead: "bad" };
  return (
    <Pill tone={tones[props.state] ?? "warn"} dot>
      {maybe(`groups.state.${props.state}`) ?? props.state}
    </Pill>
  );
}

export function Groups() {
  const { t, count, duration } = useLanguage();
  const [query, setQuery] = useQueryState();
  const info = useInfo().data;
  const page = Number(query.page ?? 1);
  const sort = query.sort ?? "-lag";
  const [text, setText] = useState(query.q ?? "");
  const [wanted] = useDebouncedValue(text, 150);
  useEffect(() => {
    if (wanted !== (query.q ?? "")) setQuery({ q: wanted, page: null });
  }, [wanted, query.q, setQuery]);
  const list = useQuery({
    queryKey: ["groups", query.q, query.state, page, sort],
    queryFn: ({ signal }) =>
      get<Rows<GroupRow>>("/groups", { q: query.q, state: query.state, page, size: SIZE, sort }, signal),
    refetchInterval: 2_000,
  });
  const columns: Column<GroupRow>[] = [
    {
      key: "group",
      label: t("groups.name"),
      sort: "group",
      render: (row) => (
        <Link to="/groups/$group" params={{ group: row.group }} data-row-link="" className="strong">
          {row.group}
        </Link>
      ),
    },
    {
      key: "state",
      label: t("groups.state"),
      sort: "state",
      render: (row) => <StatePill state={row.state} />,
    },
    { key: "type", label: t("groups.type"), render: (row) => row.type },
    {
      key: "members",
      label: t("groups.members"),
      sort: "members",
      right: true,
      render: (row) => count(row.members),
    },
    {
      key: "topics",
      label: t("groups.topics"),
      sort: "topics",
      right: true,
      render: (row) => count(row.topics),
    },
    { key: "lag", label: t("groups.lag"), sort: "lag", right: true, render: (row) => count(row.lag) },
    {
      key: "seconds",
      label: t("groups.lagTime"),
      sort: "lagSeconds",
      right: true,
      render: (row) => duration(row.lagSeconds),
    },
    { key: "trend", label: t("groups.trend"), right: true, width: 190, render: (row) => <Trend {...row} /> },
  ];
  const rows = list.data?.items ?? [];
  return (
    <Page title={t("nav.groups")}>
      <div className="card flush">
        <div className="toolbar">
          <TextInput
            data-filter
            leftSection={<IconSearch size={16} aria-hidden="true" />}
            placeholder={t("groups.search")}
            aria-label={t("groups.search")}
            value={text}
            onChange={(event) => setText(event.currentTarget.value)}
            onKeyDown={(event) => event.key === "Escape" && setText("")}
            w={300}
            maw="100%"
          />
          <Select
            aria-label={t("groups.state")}
            placeholder={t("groups.anyState")}
            clearable
            clearButtonProps={{ "aria-label": t("topics.clear") }}
            data={STATES.map((state) => ({
              value: state,
              label: t(`groups.state.${state}` as "groups.state.Stable"),
            }))}
            value={query.state ?? null}
            onChange={(state) => setQuery({ state, page: null })}
            w={190}
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
          query.q || query.state ? (
            <Empty
              icon={<IconSearch size={26} />}
              title={t("groups.noMatch")}
              text={t("groups.noMatchText")}
            />
          ) : (
            <Empty icon={<IconUsers size={26} />} title={t("overview.noGroups")} text={t("groups.noneText")}>
              <Command text={`${tool("consumer", info?.bootstrap[0])} --group my-group --topic my-topic`} />
            </Empty>
          )
        ) : (
          <>
            <DataTable
              label={t("nav.groups")}
              columns={columns}
              rows={rows}
              rowKey={(row) => row.group}
              sort={sort}
              onSort={(next) => setQuery({ sort: next === "-lag" ? null : next, page: null })}
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
    </Page>
  );
}
