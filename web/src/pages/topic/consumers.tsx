// The groups that read a topic.
import { useQuery } from "@tanstack/react-query";
import type { GroupLag } from "../../api/contract";
import { get, part } from "../../api/http";
import { useLanguage } from "../../i18n";
import { Command, tool } from "../../ui/copy";
import { FailureCard } from "../../ui/failure";
import { IconUsers } from "../../ui/icons";
import { Empty, Link, Trend, Waiting } from "../../ui/pieces";
import { useInfo } from "../../ui/shell";
import { type Column, DataTable } from "../../ui/table";
import { StatePill } from "../groups";

type Row = GroupLag & { state: string; members: number };

export function Consumers(props: { topic: string }) {
  const { t, count, duration } = useLanguage();
  const info = useInfo().data;
  const list = useQuery({
    queryKey: ["topic", props.topic, "groups"],
    queryFn: ({ signal }) => get<{ items: Row[] }>(`/topics/${part(props.topic)}/groups`, {}, signal),
    refetchInterval: 2_000,
  });
  if (!list.data)
    return list.error ? (
      <FailureCard failure={list.error} retry={() => list.refetch()} />
    ) : (
      <Waiting rows={1} />
    );
  const columns: Column<Row>[] = [
    {
      key: "group",
      label: t("groups.name"),
      render: (row) => (
        <Link to="/groups/$group" params={{ group: row.group }} data-row-link="" className="strong">
          {row.group}
        </Link>
      ),
    },
    { key: "state", label: t("groups.state"), render: (row) => <StatePill state={row.state} /> },
    { key: "members", label: t("groups.members"), right: true, render: (row) => count(row.members) },
    { key: "lag", label: t("groups.lag"), right: true, render: (row) => count(row.lag) },
    { key: "seconds", label: t("groups.lagTime"), right: true, render: (row) => duration(row.lagSeconds) },
    { key: "trend", label: t("groups.trend"), right: true, render: (row) => <Trend {...row} /> },
  ];
  return (
    <div className="card flush">
      {list.data.items.length === 0 ? (
        <Empty
          icon={<IconUsers size={26} />}
          title={t("topic.noConsumers")}
          text={t("topic.noConsumersText")}
        >
          <Command
            text={`${tool("consumer", info?.bootstrap[0])} --group my-group --topic ${props.topic} --from-beginning`}
          />
        </Empty>
      ) : (
        <DataTable
          label={t("topic.tab.consumers")}
          columns={columns}
          rows={list.data.items}
          rowKey={(row) => row.group}
        />
      )}
    </div>
  );
}
