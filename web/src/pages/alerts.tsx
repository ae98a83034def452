// Rules that watch, what they say now, and what they said.
import { ActionIcon, Button, Group, Menu, Switch, Tabs } from "@mantine/core";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import type {
  AlertEvent,
  AlertsTick,
  Dashboard,
  NewRule,
  Page as Rows,
  Rule,
  RuleSource,
} from "../api/contract";
import { get, part, send } from "../api/http";
import { useStreamed } from "../api/live";
import { type Language, useLanguage } from "../i18n";
import { useQueryState } from "../router";
import { FailureCard } from "../ui/failure";
import { IconBell, IconCircleCheck, IconClock, IconDots, IconEdit, IconPlus, IconTrash } from "../ui/icons";
import { Ago, Empty, Page, Pill, type Tone, Waiting } from "../ui/pieces";
import { useInfo } from "../ui/shell";
import { type Column, DataTable, Pager } from "../ui/table";
import { toast, toastFailure } from "../ui/toasts";
import { RuleEditor } from "./alerts/editor";

const TONES: Record<Rule["state"], Tone> = {
  ok: "good",
  pending: "warn",
  firing: "bad",
  unknown: "calm",
  disabled: "calm",
};
const SEVERITIES: Record<Rule["severity"], Tone> = { info: "calm", warning: "warn", critical: "bad" };
const HISTORY_SIZE = 25;
const HOUR_MS = 3_600_000;

/** What a rule compares, as people write it. */
export function measure(
  source: RuleSource,
  value: number | null,
  { number, duration, count, rate }: Language,
): string {
  if (value === null) return "–";
  if (source.kind === "disk") return `${number(Math.round(value * 10) / 10)} %`;
  if (source.kind === "noData" || (source.kind === "lag" && source.unit === "seconds"))
    return duration(value);
  return source.kind === "lag" ? count(value) : rate(value);
}

export function Alerts() {
  const language = useLanguage();
  const { t, maybe, duration, time } = language;
  const [query, setQuery] = useQueryState();
  const info = useInfo().data;
  const queries = useQueryClient();
  const [editing, setEditing] = useState<Rule | null>(null);
  const first = useQuery({
    queryKey: ["alerts"],
    queryFn: ({ signal }) => get<{ items: Rule[] }>("/alerts/rules", {}, signal),
    refetchInterval: 3_000,
  });
  const streamed = useStreamed<AlertsTick>({ kind: "alerts" });
  const dashboards = useQuery({
    queryKey: ["dashboards"],
    queryFn: ({ signal }) => get<{ items: Dashboard[] }>("/dashboards", {}, signal),
  });
  const panels = dashboards.data?.items.flatMap((one) => one.panels) ?? [];
  const isMutable = !info?.readOnly;
  const tab = query.tab === "history" ? "history" : "rules";

  // What was changed here last is newer than what the stream said before it.
  const rules = first.data?.items.map((rule) => ({ ...rule, ...stateOf(streamed, rule) }));
  if (!rules) {
    return (
      <Page title={t("nav.alerts")}>
        {first.error ? <FailureCard failure={first.error} retry={() => first.refetch()} /> : <Waiting />}
      </Page>
    );
  }
  const firing = rules.filter((rule) => rule.state === "firing");
  const refresh = () => queries.invalidateQueries({ queryKey: ["alerts"] });
  const attempt = (work: Promise<unknown>) => work.then(refresh, (error) => toastFailure(error, language));
  const subject = (source: RuleSource): string => {
    if (source.kind === "panel") {
      const panel = panels.find((one) => one.id === source.panelId);
      return panel ? (maybe(`panel.${panel.id}`) ?? panel.title) : t("alerts.panelGone");
    }
    if (source.kind === "lag") return t("alerts.lagOf", { group: source.group });
    if (source.kind === "noData") return t("alerts.silenceOf", { topic: source.topic });
    return t("alerts.disk");
  };
  const columns: Column<Rule>[] = [
    {
      key: "on",
      label: t("alerts.enabled"),
      hideLabel: true,
      width: 56,
      render: (rule) => (
        <Switch
          size="xs"
          aria-label={t("alerts.enabledOf", { name: rule.name })}
          checked={rule.enabled}
          disabled={!isMutable}
          onChange={(event) =>
            attempt(
              send("PUT", `/alerts/rules/${part(rule.id)}`, {
                ...toNew(rule),
                enabled: event.currentTarget.checked,
              }),
            )
          }
        />
      ),
    },
    {
      key: "name",
      label: t("alerts.rule"),
      render: (rule) => (
        <div>
          <strong>{rule.name}</strong>{" "}
          <Pill tone={SEVERITIES[rule.severity]}>{t(`alerts.severity.${rule.severity}`)}</Pill>
          <div className="doc">
            {subject(rule.source)} {rule.op} {measure(rule.source, rule.threshold, language)}
            {rule.forMs > 0 && `, ${t("alerts.forTime", { time: duration(rule.forMs / 1000) })}`}
          </div>
          {rule.deliveryError && (
            <div className="tone-bad doc-size">{t("alerts.notDelivered", { why: rule.deliveryError })}</div>
          )}
        </div>
      ),
    },
    {
      key: "state",
      label: t("groups.state"),
      render: (rule) => (
        <div>
          <Pill tone={TONES[rule.state]} dot>
            {t(`alerts.state.${rule.state}`)}
          </Pill>
          {rule.silencedUntil !== null && rule.silencedUntil > Date.now() && (
            <div className="doc">{t("alerts.silencedUntil", { time: time(rule.silencedUntil) })}</div>
          )}
        </div>
      ),
    },
    {
      key: "since",
      label: t("alerts.since"),
      render: (rule) => (rule.since === null ? "–" : <Ago ms={rule.since} />),
    },
    {
      key: "value",
      label: t("alerts.now"),
      right: true,
      render: (rule) => measure(rule.source, rule.value, language),
    },
    {
      key: "targets",
      label: t("alerts.tells"),
      render: (rule) =>
        rule.targets
          .map((target) =>
            target.kind === "topic"
              ? t("alerts.toTopic", { topic: target.topic })
              : t(`alerts.to.${target.kind}`),
          )
          .join(", "),
    },
  ];
  if (isMutable) {
    columns.push({
      key: "actions",
      label: t("table.actions"),
      hideLabel: true,
      width: 48,
      render: (rule) => (
        <Menu position="bottom-end">
          <Menu.Target>
            <ActionIcon variant="subtle" color="gray" aria-label={t("live.actionsOf", { title: rule.name })}>
              <IconDots size={16} />
            </ActionIcon>
          </Menu.Target>
          <Menu.Dropdown>
            <Menu.Item leftSection={<IconEdit size={15} />} onClick={() => setEditing(rule)}>
              {t("configs.edit")}
            </Menu.Item>
            {[1, 8, 24].map((hours) => (
              <Menu.Item
                key={hours}
                leftSection={<IconClock size={15} />}
                onClick={() =>
                  attempt(
                    send("POST", `/alerts/rules/${part(rule.id)}/silence`, {
                      untilMs: Date.now() + hours * HOUR_MS,
                    }),
                  )
                }
              >
                {t("alerts.silence", { n: hours })}
              </Menu.Item>
            ))}
            {rule.silencedUntil !== null && (
              <Menu.Item
                leftSection={<IconBell size={15} />}
                onClick={() =>
                  attempt(send("POST", `/alerts/rules/${part(rule.id)}/silence`, { untilMs: null }))
                }
              >
                {t("alerts.unsilence")}
              </Menu.Item>
            )}
            <Menu.Divider />
            <Menu.Item
              className="danger"
              leftSection={<IconTrash size={15} />}
              onClick={async () => {
                await attempt(send("DELETE", `/alerts/rules/${part(rule.id)}`));
                toast("good", t("alerts.removed", { name: rule.name }), {
                  label: t("live.undo"),
                  run: () => attempt(send("POST", "/alerts/rules", toNew(rule))),
                });
              }}
            >
              {t("live.remove")}
            </Menu.Item>
          </Menu.Dropdown>
        </Menu>
      ),
    });
  }
  return (
    <Page
      title={t("nav.alerts")}
      lead={
        <span role="status" className={firing.length ? "tone-bad" : undefined}>
          {t("alerts.firingCount", { n: firing.length })}
        </span>
      }
      actions={
        isMutable && (
          <Button leftSection={<IconPlus size={16} />} onClick={() => setQuery({ new: "1" })}>
            {t("alerts.newRule")}
          </Button>
        )
      }
    >
      <Tabs
        value={tab}
        onChange={(next) => setQuery({ tab: next === "history" ? "history" : null, page: null })}
        keepMounted={false}
      >
        <Tabs.List mb="md">
          <Tabs.Tab value="rules">{t("alerts.tab.rules")}</Tabs.Tab>
          <Tabs.Tab value="history">{t("alerts.tab.history")}</Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value="rules">
          <div className="card flush">
            {rules.length === 0 ? (
              <Empty icon={<IconBell size={26} />} title={t("alerts.none")} text={t("alerts.noneText")}>
                {isMutable && (
                  <Group gap="xs" justify="center">
                    {(["lag", "disk", "noData"] as const).map((kind) => (
                      <Button key={kind} variant="default" onClick={() => setQuery({ new: kind })}>
                        {t(`alerts.template.${kind}`)}
                      </Button>
                    ))}
                  </Group>
                )}
              </Empty>
            ) : (
              <DataTable
                label={t("alerts.tab.rules")}
                columns={columns}
                rows={rules}
                rowKey={(rule) => rule.id}
              />
            )}
          </div>
        </Tabs.Panel>
        <Tabs.Panel value="history">
          <History
            page={Number(query.page ?? 1)}
            onPage={(page) => setQuery({ page: page === 1 ? null : page })}
            rules={rules}
          />
        </Tabs.Panel>
      </Tabs>
      {(editing || query.new) && (
        <RuleEditor
          rule={editing}
          start={query.new ?? ""}
          panels={panels}
          panelTitle={(panel) => maybe(`panel.${panel.id}`) ?? panel.title}
          onClose={() => {
            setEditing(null);
            setQuery({ new: null });
          }}
          onSaved={refresh}
        />
      )}
    </Page>
  );
}

const toNew = ({ name, enabled, source, op, threshold, forMs, severity, targets }: Rule): NewRule => ({
  name,
  enabled,
  source,
  op,
  threshold,
  forMs,
  severity,
  targets,
});

function stateOf(tick: AlertsTick | null, rule: Rule): Partial<Rule> {
  const told = tick?.rules.find((other) => other.id === rule.id);
  return told && rule.enabled === told.enabled ? { state: told.state, since: told.since } : {};
}

function History(props: { page: number; onPage: (page: number) => void; rules: Rule[] }) {
  const language = useLanguage();
  const { t, duration, dateTime } = language;
  const list = useQuery({
    queryKey: ["alerts", "history", props.page],
    queryFn: ({ signal }) =>
      get<Rows<AlertEvent>>("/alerts/history", { page: props.page, size: HISTORY_SIZE }, signal),
    refetchInterval: 5_000,
  });
  if (!list.data)
    return list.error ? (
      <FailureCard failure={list.error} retry={() => list.refetch()} />
    ) : (
      <Waiting rows={1} />
    );
  const peak = (event: AlertEvent, value: number | null) => {
    const source = props.rules.find((rule) => rule.id === event.ruleId)?.source;
    return source ? measure(source, value, language) : language.rate(value);
  };
  const columns: Column<AlertEvent>[] = [
    {
      key: "rule",
      label: t("alerts.rule"),
      render: (event) => (
        <>
          <strong>{event.ruleName}</strong>{" "}
          <Pill tone={SEVERITIES[event.severity]}>{t(`alerts.severity.${event.severity}`)}</Pill>
        </>
      ),
    },
    { key: "from", label: t("alerts.from"), render: (event) => dateTime(event.from) },
    {
      key: "time",
      label: t("alerts.lasted"),
      right: true,
      render: (event) =>
        event.to === null ? (
          <Pill tone="bad" dot>
            {t("alerts.state.firing")}
          </Pill>
        ) : (
          duration((event.to - event.from) / 1000)
        ),
    },
    { key: "peak", label: t("alerts.peak"), right: true, render: (event) => peak(event, event.peak) },
    {
      key: "threshold",
      label: t("alerts.threshold"),
      right: true,
      render: (event) => peak(event, event.threshold),
    },
  ];
  return (
    <div className="card flush">
      {list.data.items.length === 0 ? (
        <Empty
          icon={<IconCircleCheck size={26} />}
          title={t("alerts.noHistory")}
          text={t("alerts.noHistoryText")}
        />
      ) : (
        <>
          <DataTable
            label={t("alerts.tab.history")}
            columns={columns}
            rows={list.data.items}
            rowKey={(event) => event.id}
          />
          <Pager page={props.page} size={HISTORY_SIZE} total={list.data.total} onPage={props.onPage} />
        </>
      )}
    </div>
  );
}
