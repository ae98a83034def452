// Makes a rule, and shows when it would have fired.
import { Button, Checkbox, Group, Modal, NumberInput, Select, Stack, TextInput } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useEffect, useMemo, useState } from "react";
import type {
  GroupRow,
  NewRule,
  Page,
  Panel,
  Rule,
  RulePreview,
  RuleSource,
  RuleTarget,
  TopicRow,
} from "../../api/contract";
import { get, part, send } from "../../api/http";
import { LineChart } from "../../charts/line";
import { Ring } from "../../charts/ring";
import { useLanguage } from "../../i18n";
import { FailureCard } from "../../ui/failure";
import { measure } from "../alerts";

const PREVIEW_MS = 3_600_000;
const KINDS = ["lag", "noData", "disk", "panel"] as const;

function sourceOf(kind: RuleSource["kind"], panelId: string): RuleSource {
  if (kind === "lag") return { kind, group: "", unit: "seconds" };
  if (kind === "noData") return { kind, topic: "" };
  if (kind === "panel") return { kind, panelId };
  return { kind };
}
const THRESHOLDS: Record<RuleSource["kind"], number> = { lag: 60, noData: 60, disk: 85, panel: 100 };

export function RuleEditor(props: {
  rule: Rule | null;
  /** A kind of source, or the id of a panel, to begin with. */
  start: string;
  panels: Panel[];
  panelTitle: (panel: Panel) => string;
  onClose: () => void;
  onSaved: () => void;
}) {
  const language = useLanguage();
  const { t, duration } = language;
  const [draft, setDraft] = useState<NewRule>(() => {
    if (props.rule) return props.rule;
    const kind = KINDS.find((one) => one === props.start) ?? (props.start === "1" ? "lag" : "panel");
    return {
      name: "",
      enabled: true,
      source: sourceOf(kind, kind === "panel" ? props.start : ""),
      op: ">",
      threshold: THRESHOLDS[kind],
      forMs: 30_000,
      severity: "warning",
      targets: [{ kind: "console" }],
    };
  });
  const [isBusy, setBusy] = useState(false);
  const [failure, setFailure] = useState<unknown>(null);
  const change = (part: Partial<NewRule>) => setDraft((before) => ({ ...before, ...part }));
  const { source } = draft;
  const groups = useQuery({
    queryKey: ["groups", "names"],
    queryFn: ({ signal }) => get<Page<GroupRow>>("/groups", { size: 500, sort: "group" }, signal),
  });
  const topics = useQuery({
    queryKey: ["topics", "names", ""],
    queryFn: ({ signal }) => get<Page<TopicRow>>("/topics", { size: 500, sort: "name" }, signal),
  });
  const isComplete =
    (source.kind !== "lag" || source.group !== "") &&
    (source.kind !== "noData" || source.topic !== "") &&
    (source.kind !== "panel" || source.panelId !== "");
  const targets = draft.targets;
  const webhook = targets.find((one) => one.kind === "webhook");
  const topic = targets.find((one) => one.kind === "topic");
  const isReady =
    draft.name.trim() !== "" &&
    isComplete &&
    (!webhook || /^https?:\/\/./.test(webhook.url)) &&
    topic?.topic !== "";
  const setTarget = (kind: RuleTarget["kind"], target: RuleTarget | null) =>
    change({ targets: [...targets.filter((one) => one.kind !== kind), ...(target ? [target] : [])] });

  const save = async () => {
    setBusy(true);
    setFailure(null);
    const { name, enabled, source, op, threshold, forMs, severity, targets } = draft;
    const body: NewRule = { name, enabled, source, op, threshold, forMs, severity, targets };
    try {
      if (props.rule) await send("PUT", `/alerts/rules/${part(props.rule.id)}`, body);
      else await send("POST", "/alerts/rules", body);
      props.onSaved();
      props.onClose();
    } catch (error) {
      setFailure(error);
      setBusy(false);
    }
  };
  return (
    <Modal
      opened
      onClose={props.onClose}
      title={t(props.rule ? "alerts.editRule" : "alerts.newRule")}
      size="xl"
      closeButtonProps={{ "aria-label": t("shell.close") }}
    >
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (isReady) save();
        }}
      >
        <Stack gap="sm">
          <Group grow align="flex-end">
            <TextInput
              label={t("topics.name")}
              value={draft.name}
              onChange={(event) => change({ name: event.currentTarget.value })}
              required
              data-autofocus
            />
            <Select
              label={t("alerts.severity")}
              data={(["info", "warning", "critical"] as const).map((one) => ({
                value: one,
                label: t(`alerts.severity.${one}`),
              }))}
              value={draft.severity}
              onChange={(next) => next && change({ severity: next as Rule["severity"] })}
              allowDeselect={false}
            />
          </Group>
          <Group grow align="flex-end">
            <Select
              label={t("alerts.watch")}
              data={KINDS.map((one) => ({ value: one, label: t(`alerts.kind.${one}`) }))}
              value={source.kind}
              onChange={(next) => {
                const kind = next as RuleSource["kind"];
                change({ source: sourceOf(kind, props.panels[0]?.id ?? ""), threshold: THRESHOLDS[kind] });
              }}
              allowDeselect={false}
            />
            {source.kind === "lag" && (
              <Select
                label={t("groups.name")}
                data={(groups.data?.items ?? []).map((one) => one.group)}
                value={source.group || null}
                onChange={(group) => change({ source: { ...source, group: group ?? "" } })}
                searchable
              />
            )}
            {source.kind === "lag" && (
              <Select
                label={t("alerts.in")}
                data={(["seconds", "messages"] as const).map((one) => ({
                  value: one,
                  label: t(`alerts.unit.${one}`),
                }))}
                value={source.unit}
                onChange={(unit) => change({ source: { ...source, unit: unit as "seconds" | "messages" } })}
                allowDeselect={false}
              />
            )}
            {source.kind === "noData" && (
              <Select
                label={t("group.topic")}
                data={(topics.data?.items ?? []).map((one) => one.name)}
                value={source.topic || null}
                onChange={(topic) => change({ source: { ...source, topic: topic ?? "" } })}
                searchable
              />
            )}
            {source.kind === "panel" && (
              <Select
                label={t("palette.panel")}
                data={props.panels
                  .filter((panel) => panel.kind !== "bars")
                  .map((panel) => ({ value: panel.id, label: props.panelTitle(panel) }))}
                value={source.panelId || null}
                onChange={(panelId) => change({ source: { ...source, panelId: panelId ?? "" } })}
                searchable
              />
            )}
          </Group>
          <Group grow align="flex-end">
            <Select
              label={t("alerts.when")}
              data={([">", ">=", "<", "<="] as const).map((one) => ({
                value: one,
                label: t(`alerts.op.${one}`),
              }))}
              value={draft.op}
              onChange={(next) => next && change({ op: next as Rule["op"] })}
              allowDeselect={false}
            />
            <NumberInput
              label={`${t("alerts.threshold")} (${unitOf(source, t)})`}
              value={draft.threshold}
              onChange={(threshold) => change({ threshold: Number(threshold) || 0 })}
            />
            <Select
              label={t("alerts.for")}
              data={[0, 5, 30, 60, 300, 900].map((seconds) => ({
                value: String(seconds * 1000),
                label: seconds === 0 ? t("alerts.atOnce") : duration(seconds),
              }))}
              value={String(draft.forMs)}
              onChange={(next) => next !== null && change({ forMs: Number(next) })}
              allowDeselect={false}
            />
          </Group>
          <fieldset style={{ border: 0, margin: 0, padding: 0 }}>
            <legend style={{ fontSize: "0.875rem", fontWeight: 500, padding: 0, marginBottom: 6 }}>
              {t("alerts.tells")}
            </legend>
            <Stack gap={8}>
              <Checkbox checked readOnly disabled label={t("alerts.to.console")} />
              <Group gap="sm" align="flex-start">
                <Checkbox
                  mt={6}
                  label={t("alerts.to.webhook")}
                  checked={webhook !== undefined}
                  onChange={(event) =>
                    setTarget("webhook", event.currentTarget.checked ? { kind: "webhook", url: "" } : null)
                  }
                />
                {webhook && (
                  <TextInput
                    size="xs"
                    aria-label={t("alerts.webhookUrl")}
                    placeholder="https://example.org/hook"
                    value={webhook.url}
                    onChange={(event) =>
                      setTarget("webhook", { kind: "webhook", url: event.currentTarget.value })
                    }
                    style={{ flex: 1 }}
                  />
                )}
              </Group>
              <Group gap="sm" align="flex-start">
                <Checkbox
                  mt={6}
                  label={t("alerts.to.topic")}
                  checked={topic !== undefined}
                  onChange={(event) =>
                    setTarget(
                      "topic",
                      event.currentTarget.checked ? { kind: "topic", topic: "alerts" } : null,
                    )
                  }
                />
                {topic && (
                  <TextInput
                    size="xs"
                    aria-label={t("group.topic")}
                    value={topic.topic}
                    onChange={(event) =>
                      setTarget("topic", { kind: "topic", topic: event.currentTarget.value })
                    }
                    style={{ flex: 1 }}
                  />
                )}
              </Group>
            </Stack>
          </fieldset>
          <Preview rule={isComplete ? draft : null} />
          {failure !== null && <FailureCard failure={failure} compact />}
          <Group justify="flex-end" gap="xs">
            <Button variant="default" onClick={props.onClose}>
              {t("shell.cancel")}
            </Button>
            <Button type="submit" disabled={!isReady} loading={isBusy}>
              {t("shell.save")}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}

function unitOf(source: RuleSource, t: ReturnType<typeof useLanguage>["t"]): string {
  if (source.kind === "disk") return "%";
  if (source.kind === "noData" || (source.kind === "lag" && source.unit === "seconds"))
    return t("alerts.unit.seconds");
  return source.kind === "lag" ? t("alerts.unit.messages") : t("alerts.unit.panel");
}

/** When it would have fired. */
function Preview(props: { rule: NewRule | null }) {
  const language = useLanguage();
  const { t, duration } = language;
  const { rule } = props;
  // The name does not change what it says.
  const key = rule && JSON.stringify({ ...rule, name: rule.name || "…" });
  const [settled] = useDebouncedValue(key, 300);
  const preview = useQuery({
    queryKey: ["alerts", "preview", settled],
    queryFn: () =>
      send<RulePreview>("POST", "/alerts/preview", JSON.parse(settled!), { windowMs: PREVIEW_MS }),
    enabled: settled !== null,
    placeholderData: keepPreviousData,
    staleTime: 10_000,
  });
  const ring = useMemo(() => new Ring(1), []);
  const data = preview.data;
  useEffect(() => {
    if (data) ring.load(data.t, data.v);
  }, [data, ring]);
  if (preview.error) return <FailureCard failure={preview.error} compact />;
  if (!rule || !data || data.t.length === 0) {
    return (
      <div className="card" style={{ background: "var(--surface-2)" }}>
        <p className="doc" style={{ margin: 0 }}>
          {t(rule && data ? "alerts.previewNothing" : "alerts.previewHint")}
        </p>
      </div>
    );
  }
  const last = data.t.at(-1)!;
  const bands = data.firings.map(({ from, to }) => ({ from, to: to ?? last }));
  return (
    <div className="card" style={{ background: "var(--surface-2)" }}>
      <strong style={{ fontSize: "0.875rem" }}>
        {t("alerts.wouldHave", { n: data.firings.length, time: duration(Math.round(data.knownMs / 1000)) })}
      </strong>
      <LineChart
        label={t("alerts.previewChart")}
        ring={ring}
        lines={[{ label: t("alerts.value"), color: "--series-1" }]}
        windowMs={data.knownMs}
        range={[data.t[0]!, last]}
        height={130}
        threshold={rule.threshold}
        bands={bands}
        format={(value) => measure(rule.source, value, language)}
      />
    </div>
  );
}
