// The brokers: what they carry, how durable it is, how they are set.
import { Tabs } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import type { Broker, Cluster, LogDir } from "../api/contract";
import { get } from "../api/http";
import { useLanguage } from "../i18n";
import { useQueryState } from "../router";
import { FailureCard } from "../ui/failure";
import { Bar, Card, Page, Pill, Stat, Waiting } from "../ui/pieces";
import { useInfo } from "../ui/shell";
import { type Column, DataTable } from "../ui/table";
import { Configs } from "./topic/configs";

export function ClusterPage() {
  const { t, number, bytes, duration, count } = useLanguage();
  const [query, setQuery] = useQueryState();
  const info = useInfo().data;
  const cluster = useQuery({
    queryKey: ["cluster"],
    queryFn: ({ signal }) => get<Cluster>("/cluster", {}, signal),
    refetchInterval: 2_000,
  });
  const data = cluster.data;
  if (!data) {
    return (
      <Page title={t("nav.cluster")}>
        {cluster.error ? (
          <FailureCard failure={cluster.error} retry={() => cluster.refetch()} />
        ) : (
          <Waiting />
        )}
      </Page>
    );
  }
  const tab = query.tab ?? "brokers";
  const chosen = query.broker ?? "default";
  const all: Column<Broker>[] = [
    {
      key: "id",
      label: t("cluster.broker"),
      render: (broker) => (
        <span style={{ display: "inline-flex", gap: 8, alignItems: "center" }}>
          <strong>{broker.id}</strong>
          <span className="mono">
            {broker.host}:{broker.port}
          </span>
        </span>
      ),
    },
    {
      key: "roles",
      label: t("cluster.roles"),
      render: (broker) => (
        <span style={{ display: "inline-flex", gap: 5 }}>
          {broker.roles.map((role) => (
            <Pill key={role} tone={role === "controller" && broker.isController ? "accent" : "calm"}>
              {t(
                role === "controller" && broker.isController
                  ? "cluster.activeController"
                  : `cluster.role.${role}`,
              )}
            </Pill>
          ))}
        </span>
      ),
    },
    { key: "rack", label: t("cluster.rack"), render: (broker) => broker.rack ?? "–" },
    {
      key: "partitions",
      label: t("topics.partitions"),
      right: true,
      render: (broker) => count(broker.partitions),
    },
    { key: "leaders", label: t("cluster.leaders"), right: true, render: (broker) => count(broker.leaders) },
    { key: "size", label: t("topics.size"), right: true, render: (broker) => bytes(broker.sizeBytes) },
    {
      key: "cpu",
      label: t("cluster.cpu"),
      right: true,
      render: (broker) =>
        broker.process ? `${number(Math.round(broker.process.cpuCores * 1000) / 10)} %` : "–",
    },
    {
      key: "memory",
      label: t("cluster.memory"),
      right: true,
      render: (broker) => bytes(broker.process?.residentBytes ?? null),
    },
    {
      key: "connections",
      label: t("cluster.connections"),
      right: true,
      render: (broker) => number(broker.process?.connections ?? null),
    },
    {
      key: "uptime",
      label: t("cluster.uptime"),
      right: true,
      render: (broker: Broker) => duration(broker.process?.uptimeSeconds ?? null),
    },
  ];
  const columns = all.filter((column) => {
    // What no broker tells needs no column of its own.
    if (column.key === "uptime") return data.brokers.some((broker) => broker.process?.uptimeSeconds != null);
    if (["cpu", "memory", "connections"].includes(column.key))
      return data.brokers.some((broker) => broker.process !== null);
    return column.key !== "rack" || data.brokers.some((broker) => broker.rack !== null);
  });
  const dirs = data.brokers.flatMap((broker) => broker.logDirs.map((dir) => ({ broker: broker.id, dir })));
  return (
    <Page title={t("nav.cluster")} lead={<span className="mono">{data.clusterId}</span>}>
      <Tabs
        value={tab}
        onChange={(next) =>
          setQuery({ tab: next === "brokers" ? null : next, broker: null, config: null, changed: null })
        }
        keepMounted={false}
      >
        <Tabs.List mb="md">
          {(["brokers", "quorum", "configs"] as const).map((id) => (
            <Tabs.Tab key={id} value={id}>
              {t(`cluster.tab.${id}`)}
            </Tabs.Tab>
          ))}
        </Tabs.List>
        <Tabs.Panel value="brokers">
          <div className="grid">
            <div className="grid stats">
              <Stat label={t("cluster.brokers")} value={data.brokers.length} />
              <Stat label={t("cluster.controller")} value={data.controllerId ?? "–"} />
              <Stat
                label={t("cluster.size")}
                value={bytes(
                  data.brokers.reduce<number | null>(
                    (sum, one) => (one.sizeBytes === null ? sum : (sum ?? 0) + one.sizeBytes),
                    null,
                  ),
                )}
              />
              <Stat
                label={t("topics.partitions")}
                value={count(data.brokers.reduce((sum, one) => sum + one.leaders, 0))}
              />
            </div>
            <Card flush>
              <DataTable
                label={t("cluster.brokers")}
                columns={columns}
                rows={data.brokers}
                rowKey={(broker) => String(broker.id)}
              />
            </Card>
            <div className="grid two">
              {dirs.map(({ broker, dir }) => (
                <Card
                  key={`${broker}-${dir.path}`}
                  title={
                    <span>
                      {t("cluster.logDir", { broker })} <span className="mono">{dir.path}</span>
                    </span>
                  }
                  aside={
                    <span style={{ marginLeft: "auto" }}>
                      <Pill tone={dir.online ? "good" : "bad"} dot>
                        {t(dir.online ? "cluster.online" : "cluster.offline")}
                      </Pill>
                    </span>
                  }
                >
                  <LogDirFacts dir={dir} />
                </Card>
              ))}
            </div>
          </div>
        </Tabs.Panel>
        <Tabs.Panel value="quorum">
          <div className="grid two">
            <Card title={t("cluster.quorum")}>
              {data.quorum ? (
                <dl className="facts wide">
                  <dt>{t("cluster.leader")}</dt>
                  <dd>{data.quorum.leaderId}</dd>
                  <dt>{t("partition.epoch")}</dt>
                  <dd>{number(data.quorum.leaderEpoch)}</dd>
                  <dt>{t("cluster.highWatermark")}</dt>
                  <dd>{number(data.quorum.highWatermark)}</dd>
                  {[
                    ...data.quorum.voters.map((one) => [one, "voter"] as const),
                    ...data.quorum.observers.map((one) => [one, "observer"] as const),
                  ].map(([one, role]) => (
                    <div key={`${role}-${one.id}`} style={{ display: "contents" }}>
                      <dt>{t(`cluster.${role}`, { id: one.id })}</dt>
                      <dd>
                        {t("cluster.upTo", { offset: number(one.endOffset) })}
                        {one.lagMs !== null && one.lagMs > 0 && ` · ${duration(one.lagMs / 1000)}`}
                      </dd>
                    </div>
                  ))}
                </dl>
              ) : (
                <p className="doc">{t("cluster.noQuorum")}</p>
              )}
            </Card>
            <Card title={t("cluster.features")}>
              {data.features.length === 0 ? (
                <p className="doc">{t("cluster.noFeatures")}</p>
              ) : (
                <dl className="facts wide">
                  {data.features.map((feature) => (
                    <div key={feature.name} style={{ display: "contents" }}>
                      <dt className="mono">{feature.name}</dt>
                      <dd>
                        {feature.finalized ?? "–"}{" "}
                        <span className="doc">
                          {t("cluster.supported", { min: feature.supportedMin, max: feature.supportedMax })}
                        </span>
                      </dd>
                    </div>
                  ))}
                </dl>
              )}
            </Card>
          </div>
        </Tabs.Panel>
        <Tabs.Panel value="configs">
          <nav
            aria-label={t("cluster.whose")}
            style={{ display: "flex", gap: 8, marginBottom: 14, flexWrap: "wrap" }}
          >
            {["default", ...data.brokers.map((broker) => String(broker.id))].map((id) => (
              <button
                key={id}
                type="button"
                className="chip"
                aria-current={id === chosen}
                onClick={() => setQuery({ broker: id === "default" ? null : id })}
              >
                {id === "default" ? t("cluster.allBrokers") : t("cluster.oneBroker", { id })}
              </button>
            ))}
          </nav>
          <Configs
            key={chosen}
            path={`/brokers/${chosen}/configs`}
            queryKey={["broker", chosen, "configs"]}
            isReadOnly={info?.readOnly ?? true}
          />
        </Tabs.Panel>
      </Tabs>
    </Page>
  );
}

function LogDirFacts({ dir }: { dir: LogDir }) {
  const { t, bytes, rate } = useLanguage();
  const usedBytes =
    dir.totalBytes !== null && dir.usableBytes !== null ? dir.totalBytes - dir.usableBytes : null;
  return (
    <>
      {dir.error && <p className="tone-bad">{dir.error}</p>}
      {usedBytes !== null && dir.totalBytes !== null && (
        <div style={{ marginBottom: 10 }}>
          <Bar
            share={usedBytes / dir.totalBytes}
            label={t("overview.diskUsed", { percent: Math.round((usedBytes / dir.totalBytes) * 100) })}
          />
          <span className="doc">
            {t("cluster.diskUsed", { used: bytes(usedBytes), total: bytes(dir.totalBytes) })}
          </span>
        </div>
      )}
      <dl className="facts wide">
        <dt>{t("cluster.own")}</dt>
        <dd>
          {bytes(dir.sizeBytes)} · {t("topic.partitionCount", { n: dir.partitions })}
        </dd>
        {dir.durability && (
          <>
            <dt>{t("cluster.durability")}</dt>
            <dd>
              {dir.durability.mode === "sync" || dir.durability.mode === "replicated"
                ? t(`cluster.durability.${dir.durability.mode}`)
                : dir.durability.mode}
            </dd>
            <dt>{t("cluster.commits")}</dt>
            <dd>
              {rate(dir.durability.commitsPerSecond)} {t("unit.perSecond")}
              {dir.durability.commitMs !== null && ` · ${rate(dir.durability.commitMs)} ms`}
            </dd>
            <dt>{t("cluster.dirty")}</dt>
            <dd>{bytes(dir.durability.dirtyBytes)}</dd>
            <dt>{t("cluster.uncovered")}</dt>
            <dd>{bytes(dir.durability.journalUncoveredBytes)}</dd>
          </>
        )}
      </dl>
    </>
  );
}
