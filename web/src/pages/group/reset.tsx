// Moves a group's offsets, after showing what will be read again.
import { Button, Checkbox, Group, Modal, NumberInput, Select, Stack, TextInput } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { keepPreviousData, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import type { GroupDetail, GroupRow, OffsetPreview, OffsetReset, Page } from "../../api/contract";
import { get, part, send } from "../../api/http";
import { useLanguage } from "../../i18n";
import { Command } from "../../ui/copy";
import { FailureCard } from "../../ui/failure";
import { IconAlert } from "../../ui/icons";
import { Pill } from "../../ui/pieces";
import { useInfo } from "../../ui/shell";
import { type Column, DataTable } from "../../ui/table";
import { toast } from "../../ui/toasts";

type Kind = Exclude<OffsetReset["to"]["kind"], "explicit">;
const KINDS: Kind[] = ["earliest", "latest", "time", "offset", "shift", "group"];
type Item = OffsetPreview["items"][number];

export function ResetOffsets(props: { group: GroupDetail; onClose: () => void }) {
  const { t, number, count } = useLanguage();
  const { group } = props;
  const queries = useQueryClient();
  const info = useInfo().data;
  const topics = [...new Set(group.offsets.map((offset) => offset.topic))];
  const [kind, setKind] = useState<Kind>("earliest");
  const [time, setTime] = useState(() => localNow());
  const [offset, setOffset] = useState<number | string>(0);
  const [by, setBy] = useState<number | string>(-100);
  const [other, setOther] = useState<string | null>(null);
  const [chosen, setChosen] = useState<Set<string>>(() => new Set(group.offsets.map(keyOf)));
  const [isBusy, setBusy] = useState(false);
  const [failure, setFailure] = useState<unknown>(null);
  const groups = useQuery({
    queryKey: ["groups", "names"],
    queryFn: ({ signal }) => get<Page<GroupRow>>("/groups", { size: 500, sort: "group" }, signal),
    enabled: kind === "group",
  });

  const to: OffsetReset["to"] | null =
    kind === "time"
      ? { kind, timeMs: new Date(time).getTime() }
      : kind === "offset"
        ? { kind, offset: Number(offset) }
        : kind === "shift"
          ? { kind, by: Number(by) }
          : kind === "group"
            ? other
              ? { kind, group: other }
              : null
            : { kind };
  const selected = topics
    .map((topic) => ({
      topic,
      partitions: group.offsets
        .filter((one) => one.topic === topic && chosen.has(keyOf(one)))
        .map((one) => one.partition),
    }))
    .filter((one) => one.partitions.length > 0);
  const reset: OffsetReset | null = to && selected.length > 0 ? { to, topics: selected } : null;
  const [settled] = useDebouncedValue(reset && JSON.stringify(reset), 200);
  const preview = useQuery({
    queryKey: ["group", group.group, "preview", settled],
    queryFn: () =>
      send<OffsetPreview>("POST", `/groups/${part(group.group)}/offsets/preview`, JSON.parse(settled!)),
    enabled: settled !== null,
    placeholderData: keepPreviousData,
    refetchInterval: 3_000,
  });
  const planned = new Map(preview.data?.items.map((item) => [keyOf(item), item]));
  const isFree = group.members === 0;

  const run = async () => {
    if (!reset) return;
    setBusy(true);
    setFailure(null);
    try {
      const done = await send<OffsetPreview>("POST", `/groups/${part(group.group)}/offsets`, reset);
      await queries.invalidateQueries({ queryKey: ["group", group.group] });
      toast("good", t("reset.done", { n: done.items.length, reread: count(done.reread) }));
      props.onClose();
    } catch (error) {
      setFailure(error);
      setBusy(false);
    }
  };
  const columns: Column<GroupDetail["offsets"][number]>[] = [
    {
      key: "pick",
      label: t("reset.include"),
      hideLabel: true,
      width: 40,
      render: (row) => (
        <Checkbox
          size="xs"
          aria-label={t("reset.includeOf", { topic: row.topic, partition: row.partition })}
          checked={chosen.has(keyOf(row))}
          onChange={(event) => {
            const next = new Set(chosen);
            if (event.currentTarget.checked) next.add(keyOf(row));
            else next.delete(keyOf(row));
            setChosen(next);
          }}
        />
      ),
    },
    { key: "topic", label: t("group.topic"), render: (row) => `${row.topic} · ${row.partition}` },
    {
      key: "from",
      label: t("reset.from"),
      right: true,
      render: (row) => (row.committed === null ? "–" : number(row.committed)),
    },
    {
      key: "to",
      label: t("reset.to"),
      right: true,
      render: (row) => {
        const item = planned.get(keyOf(row));
        if (!item || !chosen.has(keyOf(row))) return "–";
        return (
          <span>
            {item.clamped && <Pill tone="warn">{t("reset.clamped")}</Pill>} <strong>{number(item.to)}</strong>
          </span>
        );
      },
    },
    {
      key: "effect",
      label: t("reset.effect"),
      right: true,
      render: (row) => {
        const item = planned.get(keyOf(row));
        return item && chosen.has(keyOf(row)) ? <Effect item={item} /> : "–";
      },
    },
  ];
  const server = info?.bootstrap[0] ?? "localhost:9092";
  return (
    <Modal
      opened
      onClose={props.onClose}
      title={t("reset.title", { group: group.group })}
      size="xl"
      closeButtonProps={{ "aria-label": t("shell.close") }}
    >
      <Stack gap="md">
        {!isFree && (
          <div className="banner soft-warn" role="note" style={{ borderRadius: 9, padding: "8px 14px" }}>
            <IconAlert size={16} aria-hidden="true" />
            {t("reset.members", { n: group.members })}
          </div>
        )}
        <Group align="flex-end" gap="sm">
          <Select
            label={t("reset.where")}
            data={KINDS.map((one) => ({ value: one, label: t(`reset.kind.${one}` as "reset.kind.time") }))}
            value={kind}
            onChange={(next) => next && setKind(next as Kind)}
            allowDeselect={false}
            w={240}
          />
          {kind === "time" && (
            <TextInput
              type="datetime-local"
              step={1}
              label={t("messages.time")}
              value={time}
              onChange={(event) => setTime(event.currentTarget.value)}
            />
          )}
          {kind === "offset" && (
            <NumberInput
              label={t("messages.offset")}
              value={offset}
              onChange={setOffset}
              min={0}
              allowDecimal={false}
              w={160}
            />
          )}
          {kind === "shift" && (
            <NumberInput
              label={t("reset.by")}
              description={t("reset.byHint")}
              value={by}
              onChange={setBy}
              allowDecimal={false}
              w={220}
            />
          )}
          {kind === "group" && (
            <Select
              label={t("reset.copyFrom")}
              data={(groups.data?.items ?? []).map((one) => one.group).filter((one) => one !== group.group)}
              value={other}
              onChange={setOther}
              searchable
              w={240}
            />
          )}
        </Group>
        <div className="numeric" role="status" style={{ fontSize: "0.9375rem" }}>
          {preview.data && reset ? (
            <>
              <strong>
                {t("reset.reread", { n: preview.data.reread, text: count(preview.data.reread) })}
              </strong>
              {preview.data.skipped > 0 && (
                <span className="tone-warn">
                  {" · "}
                  {t("reset.skipped", { n: preview.data.skipped, text: count(preview.data.skipped) })}
                </span>
              )}
            </>
          ) : (
            t("reset.choose")
          )}
        </div>
        {preview.error && <FailureCard failure={preview.error} compact />}
        <div
          // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls
          tabIndex={0}
          role="group"
          aria-label={t("group.offsets")}
          className="card flush"
          style={{ maxHeight: 300, overflowY: "auto" }}
        >
          <DataTable label={t("group.offsets")} columns={columns} rows={group.offsets} rowKey={keyOf} />
        </div>
        {failure !== null && <FailureCard failure={failure} compact />}
        {kind !== "group" && (
          <Command
            text={command(server, group.group, kind, time, offset, by)}
            label={t("topics.asCommand")}
          />
        )}
        <Group justify="flex-end" gap="xs">
          <Button variant="default" onClick={props.onClose}>
            {t("shell.cancel")}
          </Button>
          <Button disabled={!reset || !isFree} loading={isBusy} onClick={run}>
            {t("reset.run")}
          </Button>
        </Group>
      </Stack>
    </Modal>
  );
}

function Effect({ item }: { item: Item }) {
  const { t, count } = useLanguage();
  const delta = item.from === null ? 0 : item.to - item.from;
  if (delta < 0) return t("reset.rereadShort", { text: count(-delta) });
  if (delta > 0) return <span className="tone-warn">{t("reset.skippedShort", { text: count(delta) })}</span>;
  return <span className="tone-calm">{t("reset.same")}</span>;
}

const keyOf = (one: { topic: string; partition: number }) => `${one.topic}\n${one.partition}`;

const localNow = () =>
  new Date(Date.now() - 3_600_000 - new Date().getTimezoneOffset() * 60_000).toISOString().slice(0, 19);

function command(
  server: string,
  group: string,
  kind: Kind,
  time: string,
  offset: number | string,
  by: number | string,
) {
  const to = {
    earliest: "--to-earliest",
    latest: "--to-latest",
    time: `--to-datetime ${Number.isNaN(Date.parse(time)) ? "…" : new Date(time).toISOString().slice(0, 23)}`,
    offset: `--to-offset ${offset}`,
    shift: `--shift-by ${by}`,
    group: "",
  }[kind];
  return `kafka-consumer-groups.sh --bootstrap-server ${server} --group ${group} --reset-offsets ${to} --all-topics --dry-run`;
}
