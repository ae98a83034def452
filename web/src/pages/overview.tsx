// How the cluster does: one sentence, then the figures that it stands on.
import { useQuery } from "@tanstack/react-query";
import { useEffect, useMemo, useRef, useState } from "react";
import type { Overview as Data, OverviewHistory, Problem } from "../api/contract";
import { get } from "../api/http";
import { useStream } from "../api/live";
import { LineChart } from "../charts/line";
import { Ring } from "../charts/ring";
import { useLanguage } from "../i18n";
import { Command, tool } from "../ui/copy";
import { FailureCard } from "../ui/failure";
import { IconAlert, IconCircleCheck, IconTopic, IconUsers } from "../ui/icons";
import { Bar, Card, Empty, Link, Page, Stat, Trend, Waiting } from "../ui/pieces";
import { useInfo } from "../ui/shell";

const WINDOW_MS = 5 * 60_000;

/** What came a moment ago is on its way to every group: that alone is not being behind. */
const BEHIND_SECONDS_MIN = 5;
const isBehind = (group: Data["laggingGroups"][number]) =>
  group.lagSeconds === null || group.lagSeconds >= BEHIND_SECONDS_MIN;

export function Overview() {
  const language = useLanguage();
  const { t, rate, bytes, count, duration } = language;
  const info = useInfo().data;
  const first = useQuery({
    queryKey: ["overview"],
    queryFn: ({ signal }) => get<Data>("/overview", {}, signal),
  });
  const history = useQuery({
    queryKey: ["overview", "history"],
    queryFn: ({ signal }) => get<OverviewHistory>("/overview/history", { windowMs: WINDOW_MS * 3 }, signal),
    staleTime: 30_000,
  });
  const [streamed, setStreamed] = useState<Data | null>(null);
  const messages = useMemo(() => new Ring(2), []);
  const traffic = useMemo(() => new Ring(2), []);
  const latency = useMemo(() => new Ring(2), []);
  const loadedAt = useRef(0);

  useEffect(() => {
    const data = history.data;
    if (!data || history.dataUpdatedAt === loadedAt.current) return;
    loadedAt.current = history.dataUpdatedAt;
    messages.load(data.t, data.inMessages, data.outMessages);
    traffic.load(data.t, data.inBytes, data.outBytes);
    latency.load(data.t, data.produceP99Ms, data.fetchP99Ms);
  }, [history.data, history.dataUpdatedAt, messages, traffic, latency]);

  useStream<Data>({ kind: "overview" }, (data) => {
    const { rates } = data;
    messages.push(data.asOf, rates.inMessages, rates.outMessages);
    traffic.push(data.asOf, rates.inBytes, rates.outBytes);
    latency.push(data.asOf, rates.produceP99Ms, rates.fetchP99Ms);
    setStreamed(data);
  });

  const data = streamed ?? first.data;
  if (!data) {
    return (
      <Page title={t("nav.overview")}>
        {first.error ? <FailureCard failure={first.error} retry={() => first.refetch()} /> : <Waiting />}
      </Page>
    );
  }
  const { rates, totals, disk } = data;
  const inOut = [
    { label: t("overview.in"), color: "--series-1" },
    { label: t("overview.out"), color: "--series-2" },
  ];
  const ms = (value: number | null) => (value === null ? "–" : `${rate(value)} ms`);
  const topMax = Math.max(...data.topTopics.map((topic) => topic.inMessages), 1e-9);
  return (
    <Page title={t("nav.overview")}>
      <div className="grid">
        <Health problems={data.problems} />
        <div className="grid stats">
          <Stat
            label={t("overview.messagesIn")}
            value={rate(rates.inMessages)}
            unit={t("overview.messagesPerSecond")}
            hint={rates.inBytes !== null && `${bytes(rates.inBytes)}/s`}
          />
          <Stat
            label={t("overview.messagesOut")}
            value={rate(rates.outMessages)}
            unit={rates.outMessages === null ? undefined : t("overview.messagesPerSecond")}
            hint={rates.outBytes !== null && `${bytes(rates.outBytes)}/s`}
          />
          <Stat
            label={t("overview.produceLatency")}
            value={rates.produceP99Ms === null ? "–" : rate(rates.produceP99Ms)}
            unit={rates.produceP99Ms === null ? undefined : "ms"}
            hint={rates.produceP50Ms !== null && t("overview.median", { ms: ms(rates.produceP50Ms) })}
          />
          <Stat
            label={t("overview.topics")}
            value={
              <Link to="/topics" className="quiet">
                {count(totals.topics)}
              </Link>
            }
            hint={t("overview.partitions", { n: totals.partitions })}
          />
          <Stat
            label={t("overview.groups")}
            value={
              <Link to="/groups" className="quiet">
                {count(totals.groups)}
              </Link>
            }
            hint={t("overview.behind", { n: data.laggingGroups.filter(isBehind).length })}
          />
          <Stat
            label={t("overview.disk")}
            value={disk ? bytes(disk.usedBytes) : bytes(totals.sizeBytes)}
            hint={
              disk &&
              (disk.fullInSeconds === null
                ? t("overview.diskOf", { total: bytes(disk.totalBytes) })
                : t("overview.diskFull", { time: duration(disk.fullInSeconds) }))
            }
          >
            {disk && (
              <div style={{ marginTop: 6 }}>
                <Bar
                  share={disk.usedBytes / disk.totalBytes}
                  color={disk.usedBytes / disk.totalBytes > 0.9 ? "var(--bad)" : undefined}
                  label={t("overview.diskUsed", {
                    percent: Math.round((disk.usedBytes / disk.totalBytes) * 100),
                  })}
                />
              </div>
            )}
          </Stat>
        </div>
        <div className="grid two">
          <Card title={t("overview.messagesChart")}>
            <LineChart
              label={t("overview.messagesChart")}
              ring={messages}
              lines={inOut}
              windowMs={WINDOW_MS}
              format={rate}
            />
          </Card>
          <Card title={t("overview.trafficChart")}>
            <LineChart
              label={t("overview.trafficChart")}
              ring={traffic}
              lines={inOut}
              windowMs={WINDOW_MS}
              format={(value) => bytes(value)}
              isBytes
            />
          </Card>
        </div>
        <div className="grid two">
          <Card
            title={t("overview.topTopics")}
            aside={
              <Link to="/topics" search={{ sort: "-inMessages" }} className="aside">
                {t("overview.all")}
              </Link>
            }
          >
            {data.topTopics.length === 0 ? (
              <Empty
                icon={<IconTopic size={26} />}
                title={t("overview.noTraffic")}
                text={t("overview.noTrafficText")}
              >
                <Command
                  text={`echo 'hello, river' | ${tool("producer", info?.bootstrap[0])} --topic hello`}
                />
              </Empty>
            ) : (
              <div className="rows">
                {data.topTopics.map((topic) => (
                  <div key={topic.name} className="row">
                    <Link to="/topics/$topic" params={{ topic: topic.name }} className="name">
                      {topic.name}
                    </Link>
                    <Bar
                      share={topic.inMessages / topMax}
                      label={t("overview.share", { percent: Math.round((topic.inMessages / topMax) * 100) })}
                    />
                    <span className="numeric figure">
                      {rate(topic.inMessages)} <small>{t("unit.perSecond")}</small>
                    </span>
                  </div>
                ))}
              </div>
            )}
          </Card>
          <Card
            title={t("overview.laggingGroups")}
            aside={
              <Link to="/groups" search={{ sort: "-lag" }} className="aside">
                {t("overview.all")}
              </Link>
            }
          >
            {data.laggingGroups.length === 0 ? (
              <Empty
                icon={<IconUsers size={26} />}
                title={t(totals.groups === 0 ? "overview.noGroups" : "overview.noLag")}
                text={t(totals.groups === 0 ? "overview.noGroupsText" : "overview.noLagText")}
              />
            ) : (
              <div className="rows">
                {data.laggingGroups.map((group) => (
                  <div key={group.group} className="row lag">
                    <Link to="/groups/$group" params={{ group: group.group }} className="name">
                      {group.group}
                    </Link>
                    <Trend {...group} />
                    <span className="numeric figure">
                      {count(group.lag)}
                      {group.lagSeconds !== null && <small> · {duration(group.lagSeconds)}</small>}
                    </span>
                  </div>
                ))}
              </div>
            )}
          </Card>
        </div>
        {rates.produceP99Ms !== null && (
          <Card title={t("overview.latencyChart")}>
            <LineChart
              label={t("overview.latencyChart")}
              ring={latency}
              lines={[
                { label: t("overview.produce"), color: "--series-3" },
                { label: t("overview.fetch"), color: "--series-4" },
              ]}
              windowMs={WINDOW_MS}
              height={130}
              format={ms}
            />
          </Card>
        )}
      </div>
    </Page>
  );
}

/** The sentence. */
function Health(props: { problems: Problem[] }) {
  const { t } = useLanguage();
  const { problems } = props;
  const tone =
    problems.length === 0
      ? "good"
      : problems.some((problem) => problem.severity === "critical")
        ? "bad"
        : "warn";
  return (
    <section className="card health" aria-live="polite">
      <span className={`sign soft-${tone}`} aria-hidden="true">
        {tone === "good" ? <IconCircleCheck size={24} /> : <IconAlert size={24} />}
      </span>
      <div style={{ minWidth: 0, alignSelf: "center" }}>
        <h2>
          {problems.length === 0
            ? t("health.good")
            : problems.length === 1
              ? t("health.one")
              : t("health.many", { n: problems.length })}
        </h2>
        {problems.length === 0 ? (
          <div style={{ color: "var(--mantine-color-dimmed)", fontSize: "0.875rem" }}>
            {t("health.goodText")}
          </div>
        ) : (
          <ul>
            {problems.map((problem, index) => (
              <li key={`${problem.code}-${problem.subject}-${index}`}>
                <Sentence {...problem} />
              </li>
            ))}
          </ul>
        )}
      </div>
    </section>
  );
}

function Sentence(problem: Problem) {
  const { t, duration } = useLanguage();
  const values = {
    n: problem.value ?? 0,
    subject: problem.subject ?? "",
    time: duration(problem.value),
  };
  const text =
    problem.code === "DISK_FULL_SOON" && problem.value === null
      ? t("problem.diskAlmostFull")
      : t(`problem.${problem.code}`, values);
  if (problem.code === "GROUP_FALLING_BEHIND" && problem.subject) {
    return (
      <Link to="/groups/$group" params={{ group: problem.subject }}>
        {text}
      </Link>
    );
  }
  if (problem.code === "ALERT_FIRING") return <Link to="/alerts">{text}</Link>;
  if (problem.code === "CLUSTER_UNREACHABLE") return <>{text}</>;
  return <Link to="/cluster">{text}</Link>;
}
