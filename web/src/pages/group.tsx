// One group: who reads what, how far behind, and what can be done about it.
import { ActionIcon, Button, Menu } from "@mantine/core";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate, useParams } from "@tanstack/react-router";
import { useEffect, useMemo, useRef, useState } from "react";
import type { GroupDetail, GroupOffset } from "../api/contract";
import { Failure, get, part, send } from "../api/http";
import { useStream } from "../api/live";
import { LineChart } from "../charts/line";
import { Ring } from "../charts/ring";
import { useLanguage } from "../i18n";
import { useQueryState } from "../router";
import { Confirm } from "../ui/confirm";
import { FailureCard } from "../ui/failure";
import { IconDots, IconReset, IconTrash, IconUsers, IconX } from "../ui/icons";
import { Card, Empty, Link, Page, Pill, Sparkline, Stat, Trend, Waiting } from "../ui/pieces";
import { useInfo } from "../ui/shell";
import { type Column, DataTable } from "../ui/table";
import { toast } from "../ui/toasts";
import { Assignment } from "./group/assignment";
import { ResetOffsets } from "./group/reset";
import { StatePill } from "./groups";

const WINDOW_MS = 5 * 60_000;
interface History {
  t: number[];
  lag: (number | null)[];
  lagSeconds: (number | null)[];
}

export function Group() {
  const { t, count, duration, number, rate } = useLanguage();
  const name = useParams({ strict: false }).group!;
  const [query, setQuery] = useQueryState();
  const navigate = useNavigate();
  const queries = useQueryClient();
  const info = useInfo().data;
  const [asking, setAsking] = useState<"delete" | { forget: string } | null>(null);
  /** Being deleted: nobody asks for it any more. */
  const [isGone, setGone] = useState(false);
  const first = useQuery({
    queryKey: ["group", name],
    queryFn: ({ signal }) => get<GroupDetail>(`/groups/${part(name)}`, {}, signal),
    placeholderData: undefined,
    enabled: !isGone,
  });
  const history = useQuery({
    queryKey: ["group", name, "history"],
    queryFn: ({ signal }) =>
      get<History>(`/groups/${part(name)}/history`, { windowMs: WINDOW_MS * 3 }, signal),
    staleTime: 30_000,
    placeholderData: undefined,
    enabled: !isGone,
  });
  const [streamed, setStreamed] = useState<GroupDetail | null>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: another group, another chart
  const lag = useMemo(() => new Ring(1), [name]);
  const loadedAt = useRef(0);
  useEffect(() => {
    if (!history.data || history.dataUpdatedAt === loadedAt.current) return;
    loadedAt.current = history.dataUpdatedAt;
    lag.load(history.data.t, history.data.lag);
  }, [history.data, history.dataUpdatedAt, lag]);
  useStream<GroupDetail>({ kind: "group", group: name }, (data) => {
    setStreamed(data);
    lag.push(Date.now(), data.lag);
  });

  const group = streamed?.group === name ? streamed : first.data;
  if (!group) {
    return (
      <Page title={name}>
        {first.error ? (
          <div className="grid">
            <FailureCard failure={first.error} retry={() => first.refetch()} />
            {first.error instanceof Failure && first.error.status === 404 && (
              <Link to="/groups">{t("group.toList")}</Link>
            )}
          </div>
        ) : (
          <Waiting />
        )}
      </Page>
    );
  }
  const topics = [...new Set(group.offsets.map((offset) => offset.topic))];
  const clients = new Map(group.memberList.map((member) => [member.memberId, member.clientId]));
  const idle = group.memberList.filter((member) => member.assignments.length === 0).length;
  const columns: Column<GroupOffset>[] = [
    {
      key: "topic",
      label: t("group.topic"),
      render: (row) => (
        <Link
          to="/topics/$topic"
          params={{ topic: row.topic }}
          search={{
            from: "offset",
            offset: String(row.committed ?? row.beginOffset),
            partitions: String(row.partition),
          }}
          data-row-link=""
        >
          {row.topic}
        </Link>
      ),
    },
    { key: "partition", label: t("messages.partition"), right: true, render: (row) => row.partition },
    {
      key: "committed",
      label: t("group.committed"),
      right: true,
      render: (row) => (row.committed === null ? "–" : number(row.committed)),
    },
    { key: "end", label: t("group.end"), right: true, render: (row) => number(row.endOffset) },
    {
      key: "lag",
      label: t("groups.lag"),
      right: true,
      render: (row) => (
        <span style={{ display: "inline-flex", alignItems: "center", gap: 12 }}>
          <Sparkline
            values={row.sparkline}
            width={64}
            height={18}
            color={row.trend === "rising" ? "var(--bad)" : undefined}
          />
          <span style={{ minWidth: 50 }}>{number(row.lag)}</span>
        </span>
      ),
    },
    { key: "seconds", label: t("groups.lagTime"), right: true, render: (row) => duration(row.lagSeconds) },
    { key: "rate", label: t("group.rate"), right: true, render: (row) => rate(row.consumeRate) },
    { key: "trend", label: t("groups.trend"), right: true, render: (row) => <Trend {...row} /> },
    {
      key: "member",
      label: t("group.member"),
      render: (row) =>
        row.memberId === null ? (
          <span className="tone-calm">{t("group.nobody")}</span>
        ) : (
          (clients.get(row.memberId) ?? row.memberId)
        ),
    },
  ];
  return (
    <Page
      title={name}
      lead={
        <span style={{ display: "flex", gap: 12, alignItems: "center", flexWrap: "wrap" }}>
          <StatePill state={group.state} />
          <span>{t("group.protocol", { type: group.type })}</span>
          {group.assignor && <span>{t("group.assignor", { name: group.assignor })}</span>}
          {group.coordinator !== null && <span>{t("group.coordinator", { id: group.coordinator })}</span>}
        </span>
      }
      actions={
        !info?.readOnly && (
          <>
            <Button leftSection={<IconReset size={16} />} onClick={() => setQuery({ reset: "1" })}>
              {t("reset.button")}
            </Button>
            <Menu position="bottom-end">
              <Menu.Target>
                <ActionIcon variant="default" size="lg" aria-label={t("shell.more")}>
                  <IconDots size={18} />
                </ActionIcon>
              </Menu.Target>
              <Menu.Dropdown>
                {topics.map((topic) => (
                  <Menu.Item
                    key={topic}
                    leftSection={<IconX size={15} />}
                    onClick={() => setAsking({ forget: topic })}
                  >
                    {t("group.forget", { topic })}
                  </Menu.Item>
                ))}
                <Menu.Divider />
                <Menu.Item
                  className="danger"
                  leftSection={<IconTrash size={15} />}
                  onClick={() => setAsking("delete")}
                >
                  {t("group.delete")}
                </Menu.Item>
              </Menu.Dropdown>
            </Menu>
          </>
        )
      }
    >
      <div className="grid">
        <div className="grid stats">
          <Stat label={t("groups.lag")} value={count(group.lag)} hint={<Trend {...group} />} />
          <Stat label={t("groups.lagTime")} value={duration(group.lagSeconds)} />
          <Stat
            label={t("groups.members")}
            value={group.members}
            hint={idle > 0 && <Pill tone="warn">{t("group.idle", { n: idle })}</Pill>}
          />
          <Stat
            label={t("messages.partitions")}
            value={group.offsets.length}
            hint={t("group.ofTopics", { n: topics.length })}
          />
        </div>
        <Card title={t("group.lagChart")}>
          <LineChart
            label={t("group.lagChart")}
            ring={lag}
            lines={[{ label: t("groups.lag"), color: "--series-2" }]}
            windowMs={WINDOW_MS}
            height={140}
            isWhole
            format={count}
          />
        </Card>
        <Card title={t("group.whoReads")}>
          {group.memberList.length === 0 ? (
            <Empty
              icon={<IconUsers size={26} />}
              title={t("group.noMembers")}
              text={t("group.noMembersText")}
            />
          ) : (
            <Assignment group={group} />
          )}
        </Card>
        <Card title={t("group.offsets")} flush>
          {group.offsets.length === 0 ? (
            <Empty
              icon={<IconUsers size={26} />}
              title={t("group.noOffsets")}
              text={t("group.noOffsetsText")}
            />
          ) : (
            <DataTable
              label={t("group.offsets")}
              columns={columns}
              rows={group.offsets}
              rowKey={(row) => `${row.topic}-${row.partition}`}
            />
          )}
        </Card>
      </div>
      {query.reset && <ResetOffsets group={group} onClose={() => setQuery({ reset: null })} />}
      {asking === "delete" && (
        <Confirm
          title={t("group.delete")}
          text={t("group.deleteText", { name, n: group.members })}
          name={name}
          button={t("topic.deleteButton")}
          onClose={() => setAsking(null)}
          run={async () => {
            setGone(true);
            await send("DELETE", `/groups/${part(name)}`, undefined, { confirm: name }).catch((error) => {
              setGone(false);
              throw error;
            });
            queries.removeQueries({ queryKey: ["groups"] });
            toast("good", t("group.deleted", { name }));
            await navigate({ to: "/groups" });
            queries.removeQueries({ queryKey: ["group", name] });
          }}
        />
      )}
      {asking !== null && asking !== "delete" && (
        <Confirm
          title={t("group.forget", { topic: asking.forget })}
          text={t("group.forgetText", { name, topic: asking.forget })}
          button={t("group.forgetButton")}
          onClose={() => setAsking(null)}
          run={async () => {
            await send("DELETE", `/groups/${part(name)}/offsets`, undefined, { topic: asking.forget });
            await queries.invalidateQueries({ queryKey: ["group", name] });
            toast("good", t("group.forgotten", { topic: asking.forget }));
          }}
        />
      )}
    </Page>
  );
}
