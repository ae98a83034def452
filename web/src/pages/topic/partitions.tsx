// The partitions of a topic: where they live and what they hold.
import type { Partition, TopicDetail } from "../../api/contract";
import { useLanguage } from "../../i18n";
import { Bar, Pill } from "../../ui/pieces";
import { type Column, DataTable } from "../../ui/table";

export function Partitions(props: { topic: TopicDetail }) {
  const { t, number, bytes, rate } = useLanguage();
  const list = props.topic.partitionList;
  const most = Math.max(...list.map((one) => one.endOffset - one.beginOffset), 1);
  const columns: Column<Partition>[] = [
    {
      key: "partition",
      label: t("partition.number"),
      width: 90,
      render: (one) => <strong>{one.partition}</strong>,
    },
    {
      key: "share",
      label: t("topics.messages"),
      width: 200,
      render: (one) => (
        <span style={{ display: "grid", gridTemplateColumns: "1fr 76px", gap: 10, alignItems: "center" }}>
          <Bar
            share={(one.endOffset - one.beginOffset) / most}
            label={t("overview.share", {
              percent: Math.round(((one.endOffset - one.beginOffset) / most) * 100),
            })}
          />
          <span className="right">{number(one.endOffset - one.beginOffset)}</span>
        </span>
      ),
    },
    { key: "begin", label: t("partition.begin"), right: true, render: (one) => number(one.beginOffset) },
    { key: "end", label: t("partition.end"), right: true, render: (one) => number(one.endOffset) },
    { key: "size", label: t("topics.size"), right: true, render: (one) => bytes(one.sizeBytes) },
    { key: "rate", label: t("topics.rate"), right: true, render: (one) => rate(one.inMessages) },
    {
      key: "leader",
      label: t("partition.leader"),
      right: true,
      render: (one) => (one.leader === null ? <Pill tone="bad">{t("partition.noLeader")}</Pill> : one.leader),
    },
    {
      key: "replicas",
      label: t("partition.replicas"),
      right: true,
      render: (one) => (
        <span style={{ display: "inline-flex", gap: 4 }}>
          {one.replicas.map((id) => (
            <Pill key={id} tone={one.isr.includes(id) ? "good" : "bad"}>
              {id}
              <span className="visually-hidden">
                {t(one.isr.includes(id) ? "partition.inSync" : "partition.notInSync")}
              </span>
            </Pill>
          ))}
        </span>
      ),
    },
    { key: "epoch", label: t("partition.epoch"), right: true, render: (one) => number(one.leaderEpoch) },
  ];
  return (
    <div className="card flush">
      <DataTable
        label={t("topic.tab.partitions")}
        columns={columns}
        rows={list}
        rowKey={(one) => String(one.partition)}
      />
    </div>
  );
}
