// Makes a panel of any field of any topic, with the panel itself beside the form.
import { Autocomplete, Button, Group, Modal, NumberInput, Select, Stack, TextInput } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import type { Dashboard, NewPanel, Page, Panel, TopicRow } from "../../api/contract";
import { Failure, get, part, send } from "../../api/http";
import { useLanguage } from "../../i18n";
import { FailureCard } from "../../ui/failure";
import { useFields, useFilterCheck } from "../topic/messages/filters";
import { PanelView } from "./panel";

const AGGREGATES = [
  "rate",
  "count",
  "sum",
  "avg",
  "min",
  "max",
  "p50",
  "p95",
  "p99",
  "distinct",
  "last",
] as const;
const EMPTY: NewPanel = {
  title: "",
  topic: "",
  field: null,
  aggregate: "rate",
  filter: null,
  groupBy: null,
  top: 10,
  windowMs: 5_000,
  kind: "line",
  unit: "",
};
const PREVIEW_MS = 60_000;

export function PanelEditor(props: {
  panel: Panel | null;
  dashboards: Dashboard[];
  dashboard: Dashboard | undefined;
  titleOf: (dashboard: Dashboard) => string;
  onClose: () => void;
  onSaved: (dashboardId: string) => void;
}) {
  const { t, duration } = useLanguage();
  const own = props.dashboards.filter((one) => !one.builtIn);
  const [draft, setDraft] = useState<NewPanel>(props.panel ?? EMPTY);
  const [target, setTarget] = useState<string | null>(
    props.dashboard && !props.dashboard.builtIn ? props.dashboard.id : (own[0]?.id ?? null),
  );
  const [isBusy, setBusy] = useState(false);
  const [failure, setFailure] = useState<unknown>(null);
  const topics = useQuery({
    queryKey: ["topics", "names", draft.topic],
    queryFn: ({ signal }) =>
      get<Page<TopicRow>>("/topics", { q: draft.topic, size: 20, sort: "-inMessages" }, signal),
  });
  const fields = useFields(draft.topic, draft.topic !== "").data?.items ?? [];
  const check = useFilterCheck(draft.filter ?? "");
  const change = (part: Partial<NewPanel>) => setDraft((before) => ({ ...before, ...part }));
  const needsField = draft.aggregate !== "rate" && draft.aggregate !== "count";
  const isReady =
    draft.topic !== "" &&
    (!needsField || draft.field !== null) &&
    (draft.kind !== "bars" || draft.groupBy !== null) &&
    check?.ok !== false;
  const panel: NewPanel = {
    ...draft,
    field: needsField ? draft.field : null,
    groupBy: draft.groupBy || null,
    filter: draft.filter?.trim() || null,
  };
  const [settled] = useDebouncedValue(isReady ? JSON.stringify(panel) : null, 400);

  const save = async () => {
    setBusy(true);
    setFailure(null);
    try {
      let dashboardId = target;
      if (props.panel) {
        await send("PUT", `/panels/${part(props.panel.id)}`, panel);
        dashboardId = props.dashboard?.id ?? target;
      } else {
        dashboardId ??= (await send<Dashboard>("POST", "/dashboards", { title: t("live.mine") })).id;
        await send("POST", `/dashboards/${part(dashboardId)}/panels`, panel);
      }
      props.onSaved(dashboardId ?? "");
      props.onClose();
    } catch (error) {
      setFailure(error);
      setBusy(false);
    }
  };
  const wrong = failure instanceof Failure ? failure.error.field : null;
  return (
    <Modal
      opened
      onClose={props.onClose}
      title={t(props.panel ? "live.editPanel" : "live.newPanel")}
      size="xl"
      closeButtonProps={{ "aria-label": t("shell.close") }}
    >
      <form
        onSubmit={(event) => {
          event.preventDefault();
          save();
        }}
      >
        <Stack gap="sm">
          <Group grow align="flex-end">
            <TextInput
              label={t("live.title")}
              value={draft.title}
              error={wrong === "title"}
              onChange={(event) => change({ title: event.currentTarget.value })}
              required
              data-autofocus
            />
            <Autocomplete
              label={t("group.topic")}
              data={(topics.data?.items ?? []).map((one) => one.name)}
              value={draft.topic}
              error={wrong === "topic"}
              onChange={(topic) => change({ topic })}
              required
              spellCheck={false}
            />
          </Group>
          <Group grow align="flex-end">
            <Select
              label={t("panel.aggregate")}
              data={AGGREGATES.map((one) => ({ value: one, label: t(`aggregate.${one}`) }))}
              value={draft.aggregate}
              onChange={(next) => next && change({ aggregate: next as NewPanel["aggregate"] })}
              allowDeselect={false}
            />
            <Autocomplete
              label={t("panel.field")}
              description={needsField ? undefined : t("panel.noFieldNeeded")}
              disabled={!needsField}
              data={fields
                .filter((field) => draft.aggregate === "distinct" || field.type === "number")
                .map((field) => field.path)}
              value={needsField ? (draft.field ?? "") : ""}
              onChange={(field) => change({ field: field || null })}
              placeholder="value.TotalAmount"
              spellCheck={false}
            />
            <Select
              label={t("panel.over")}
              data={[1, 2, 5, 10, 30, 60, 300].map((seconds) => ({
                value: String(seconds * 1000),
                label: duration(seconds),
              }))}
              value={String(draft.windowMs)}
              onChange={(next) => next && change({ windowMs: Number(next) })}
              allowDeselect={false}
            />
          </Group>
          <Group grow align="flex-end">
            <Select
              label={t("panel.kind")}
              data={(["line", "number", "bars"] as const).map((one) => ({
                value: one,
                label: t(`panel.kind.${one}`),
              }))}
              value={draft.kind}
              onChange={(next) => next && change({ kind: next as NewPanel["kind"] })}
              allowDeselect={false}
            />
            <Autocomplete
              label={t("panel.groupBy")}
              data={fields
                .filter((field) => field.type === "string" || field.type === "boolean")
                .map((field) => field.path)}
              value={draft.groupBy ?? ""}
              onChange={(groupBy) => change({ groupBy: groupBy || null })}
              placeholder="value.StoreID"
              spellCheck={false}
            />
            {draft.kind === "bars" ? (
              <NumberInput
                label={t("panel.top")}
                value={draft.top}
                onChange={(top) => change({ top: Number(top) || 10 })}
                min={1}
                max={50}
                allowDecimal={false}
              />
            ) : (
              <TextInput
                label={t("panel.unit")}
                value={draft.unit}
                onChange={(event) => change({ unit: event.currentTarget.value })}
                placeholder="USD"
              />
            )}
          </Group>
          <TextInput
            label={t("panel.filter")}
            value={draft.filter ?? ""}
            onChange={(event) => change({ filter: event.currentTarget.value })}
            error={
              check &&
              !check.ok &&
              `${check.message} (${t("messages.filterPosition", { n: check.position + 1 })})`
            }
            placeholder='value.CustomerType == "PRIME"'
            styles={{ input: { fontFamily: "var(--mantine-font-family-monospace)" } }}
            spellCheck={false}
          />
          {!props.panel && own.length > 1 && (
            <Select
              label={t("live.dashboard")}
              data={own.map((one) => ({ value: one.id, label: props.titleOf(one) }))}
              value={target}
              onChange={setTarget}
              allowDeselect={false}
            />
          )}
          <div className="card" style={{ background: "var(--surface-2)" }}>
            {settled ? (
              <PanelView
                panel={JSON.parse(settled)}
                title={draft.title || t("panel.preview")}
                stream={{
                  kind: "panelPreview",
                  // A panel can be looked at before it has a name.
                  panel: { ...JSON.parse(settled), title: "preview" },
                  historyMs: PREVIEW_MS,
                }}
                windowMs={PREVIEW_MS}
                isPaused={false}
              />
            ) : (
              <p className="doc">{t("panel.previewHint")}</p>
            )}
          </div>
          {failure !== null && <FailureCard failure={failure} compact />}
          <Group justify="flex-end" gap="xs">
            <Button variant="default" onClick={props.onClose}>
              {t("shell.cancel")}
            </Button>
            <Button type="submit" disabled={!isReady || draft.title.trim() === ""} loading={isBusy}>
              {t("shell.save")}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
