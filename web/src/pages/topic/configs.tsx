// Settings of a topic or broker: grouped, explained, with their defaults, changed and reset in place.
import { Anchor, Button, Group, NumberInput, Select, Switch, TextInput } from "@mantine/core";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import type { ConfigChange, ConfigEntry } from "../../api/contract";
import { get, send } from "../../api/http";
import { useLanguage } from "../../i18n";
import { useQueryState } from "../../router";
import { FailureCard } from "../../ui/failure";
import { IconEdit, IconReset, IconSearch } from "../../ui/icons";
import { Card, Empty, Pill, Waiting } from "../../ui/pieces";
import { toast } from "../../ui/toasts";

/** Groups in the order shown; the first that fits a name takes it. */
const GROUPS: [string, RegExp][] = [
  ["retention", /retention|cleanup\.policy|delete\.delay/],
  ["durability", /durability|insync|unclean|flush|replica/],
  ["compaction", /clean|compact|tombstone/],
  ["messages", /message|compression|timestamp|record/],
  ["storage", /segment|index|preallocate|remote|log\./],
  ["groups", /group|offsets|transaction/],
  ["network", /listener|socket|connection|request|network|queue|quota|sasl|ssl|http/],
];

export function Configs(props: { path: string; queryKey: unknown[]; isReadOnly: boolean }) {
  const { t } = useLanguage();
  const [query, setQuery] = useQueryState();
  const list = useQuery({
    queryKey: props.queryKey,
    queryFn: ({ signal }) => get<{ items: ConfigEntry[] }>(props.path, {}, signal),
  });
  if (!list.data)
    return list.error ? (
      <FailureCard failure={list.error} retry={() => list.refetch()} />
    ) : (
      <Waiting rows={2} />
    );
  const wanted = (query.config ?? "").toLowerCase();
  const isChangedOnly = query.changed === "true";
  const shown = list.data.items.filter(
    (entry) => entry.name.includes(wanted) && (!isChangedOnly || entry.overridden),
  );
  const groups = new Map<string, ConfigEntry[]>();
  for (const [name] of GROUPS) groups.set(name, []);
  groups.set("other", []);
  for (const entry of shown) {
    const group = GROUPS.find(([, pattern]) => pattern.test(entry.name))?.[0] ?? "other";
    groups.get(group)!.push(entry);
  }
  return (
    <div className="grid">
      <Group gap="md">
        <TextInput
          data-filter
          leftSection={<IconSearch size={16} aria-hidden="true" />}
          placeholder={t("configs.search")}
          aria-label={t("configs.search")}
          value={query.config ?? ""}
          onChange={(event) => setQuery({ config: event.currentTarget.value })}
          w={300}
        />
        <Switch
          size="sm"
          label={t("configs.changedOnly")}
          checked={isChangedOnly}
          onChange={(event) => setQuery({ changed: event.currentTarget.checked })}
        />
      </Group>
      {shown.length === 0 && (
        <div className="card">
          <Empty icon={<IconSearch size={26} />} title={t("configs.none")} text={t("configs.noneText")} />
        </div>
      )}
      {[...groups].map(
        ([name, entries]) =>
          entries.length > 0 && (
            <Card key={name} title={t(`configs.group.${name}` as "configs.group.other")}>
              {entries.map((entry) => (
                <Entry key={entry.name} entry={entry} {...props} />
              ))}
            </Card>
          ),
      )}
    </div>
  );
}

function Entry(props: { entry: ConfigEntry; path: string; queryKey: unknown[]; isReadOnly: boolean }) {
  const { entry } = props;
  const language = useLanguage();
  const { t, maybe } = language;
  const queries = useQueryClient();
  const [draft, setDraft] = useState<string | null>(null);
  const [isBusy, setBusy] = useState(false);
  const [failure, setFailure] = useState<unknown>(null);
  const canEdit = !props.isReadOnly && !entry.readOnly;

  const change = async (body: ConfigChange, done: string) => {
    setBusy(true);
    setFailure(null);
    try {
      const answer = await send<{ items: ConfigEntry[] }>("PATCH", props.path, body);
      queries.setQueryData(props.queryKey, answer);
      queries.invalidateQueries({ queryKey: ["topics"] });
      toast("good", done);
      setDraft(null);
    } catch (error) {
      setFailure(error);
    }
    setBusy(false);
  };
  const hint = reading(entry.name, entry.value, language);
  const defaultHint = reading(entry.name, entry.defaultValue, language);
  return (
    <div className="config">
      <div style={{ minWidth: 0 }}>
        <div style={{ display: "flex", gap: 8, alignItems: "center", flexWrap: "wrap" }}>
          <span className="mono" style={{ fontWeight: 600, color: "var(--text-strong)" }}>
            {entry.name}
          </span>
          {entry.overridden && <Pill tone="accent">{t("configs.set")}</Pill>}
          {entry.readOnly && <Pill tone="calm">{t("configs.fixed")}</Pill>}
        </div>
        <div className="doc">{withCode(maybe(`config.${entry.name}`) ?? entry.documentation ?? "")}</div>
        {entry.defaultValue !== null && (
          <div className="doc">
            {t("configs.default")}{" "}
            <span className="mono">
              {entry.defaultValue === "" ? t("configs.empty") : entry.defaultValue}
            </span>
            {defaultHint && ` (${defaultHint})`}
          </div>
        )}
      </div>
      <div>
        {draft === null ? (
          <div
            style={{
              display: "flex",
              gap: 6,
              alignItems: "center",
              justifyContent: "flex-end",
              flexWrap: "wrap",
            }}
          >
            <span className="mono" style={{ overflowWrap: "anywhere", textAlign: "right" }}>
              {entry.sensitive
                ? "••••••"
                : entry.value === null || entry.value === ""
                  ? t("configs.empty")
                  : entry.value}
              {hint && <span className="doc"> · {hint}</span>}
            </span>
            {canEdit && (
              <Button
                size="compact-sm"
                variant="subtle"
                leftSection={<IconEdit size={14} />}
                aria-label={t("configs.editOf", { name: entry.name })}
                onClick={() => setDraft(entry.value ?? "")}
              >
                {t("configs.edit")}
              </Button>
            )}
            {canEdit && entry.overridden && (
              <Button
                size="compact-sm"
                variant="subtle"
                color="gray"
                loading={isBusy}
                leftSection={<IconReset size={14} />}
                aria-label={t("configs.resetOf", { name: entry.name })}
                onClick={() => change({ reset: [entry.name] }, t("configs.wasReset", { name: entry.name }))}
              >
                {t("configs.reset")}
              </Button>
            )}
          </div>
        ) : (
          <form
            onSubmit={(event) => {
              event.preventDefault();
              change({ set: { [entry.name]: draft } }, t("configs.saved", { name: entry.name }));
            }}
            onKeyDown={(event) => event.key === "Escape" && setDraft(null)}
          >
            <Group gap={6} justify="flex-end" wrap="nowrap">
              <Editor entry={entry} value={draft} onChange={setDraft} />
              <Button size="xs" type="submit" loading={isBusy}>
                {t("shell.save")}
              </Button>
              <Button size="xs" variant="default" onClick={() => setDraft(null)}>
                {t("shell.cancel")}
              </Button>
            </Group>
            {reading(entry.name, draft, language) && (
              <div className="doc right">{reading(entry.name, draft, language)}</div>
            )}
            {entry.defaultValue !== null && draft !== entry.defaultValue && (
              <Anchor component="button" type="button" size="xs" onClick={() => setDraft(entry.defaultValue)}>
                {t("configs.useDefault")}
              </Anchor>
            )}
          </form>
        )}
        {failure !== null && (
          <div style={{ marginTop: 8 }}>
            <FailureCard failure={failure} compact />
          </div>
        )}
      </div>
    </div>
  );
}

/** What stands between backticks is code. */
function withCode(text: string) {
  return text.split("`").map((piece, index) =>
    index % 2 === 1 ? (
      <span key={index} className="mono">
        {piece}
      </span>
    ) : (
      piece
    ),
  );
}

function Editor(props: { entry: ConfigEntry; value: string; onChange: (value: string) => void }) {
  const { entry, value, onChange } = props;
  const common = { "aria-label": entry.name, size: "xs" as const, style: { flex: 1, maxWidth: 260 } };
  const choices = entry.allowed ?? (entry.type === "boolean" ? ["true", "false"] : null);
  if (choices) {
    return (
      <Select
        {...common}
        data={[...new Set([...choices, value])]}
        value={value}
        onChange={(next) => next !== null && onChange(next)}
        allowDeselect={false}
      />
    );
  }
  if (["int", "long", "short"].includes(entry.type)) {
    return (
      <NumberInput
        {...common}
        value={value}
        allowDecimal={false}
        hideControls
        data-autofocus
        onChange={(next) => onChange(String(next))}
      />
    );
  }
  return (
    <TextInput
      {...common}
      value={value}
      onChange={(event) => onChange(event.currentTarget.value)}
      spellCheck={false}
    />
  );
}

/** A figure as people read it: 604800000 is 7 d. */
function reading(
  name: string,
  value: string | null,
  { bytes, duration, t }: ReturnType<typeof useLanguage>,
): string | null {
  if (value === null || !/^-?\d+$/.test(value)) return null;
  const figure = Number(value);
  if (figure === -1 && /retention|bytes|ms$/.test(name)) return t("configs.noLimit");
  if (figure < 1_000) return null;
  if (figure >= 9.2e18) return t("configs.noLimit");
  if (/\.ms$/.test(name)) return duration(figure / 1000);
  if (/bytes$/.test(name)) return bytes(figure);
  return null;
}
