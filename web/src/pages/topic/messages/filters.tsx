// What to look for: text, key, header, and an expression that the server understands, with the topic's own fields to
// choose from.
import { Button, Group, TextInput } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import type { Field, FilterCheck } from "../../../api/contract";
import { get, part, send } from "../../../api/http";
import { useLanguage } from "../../../i18n";
import type { Change, Query } from "../../../router";
import { IconFilter } from "../../../ui/icons";

const NAMES = ["key", "partition", "offset", "timestamp", "size", "headers."];

export function useFields(topic: string, isWanted: boolean) {
  return useQuery({
    queryKey: ["topic", topic, "fields"],
    queryFn: ({ signal }) => get<{ items: Field[] }>(`/topics/${part(topic)}/fields`, {}, signal),
    enabled: isWanted && topic !== "",
    staleTime: 30_000,
    placeholderData: undefined,
  });
}

/** Null while it is not known. */
export function useFilterCheck(filter: string): FilterCheck | null {
  const [settled] = useDebouncedValue(filter.trim(), 250);
  const check = useQuery({
    queryKey: ["filter", settled],
    queryFn: () => send<FilterCheck>("POST", "/filters/check", { filter: settled }),
    enabled: settled !== "",
    staleTime: 600_000,
  });
  return settled === "" ? { ok: true } : settled === filter.trim() ? (check.data ?? null) : null;
}

export function Filters(props: { topic: string; query: Query; setQuery: (change: Change) => void }) {
  const { t } = useLanguage();
  const { query, setQuery } = props;
  const [draft, setDraft] = useState({
    key: query.key ?? "",
    header: query.header ?? "",
    filter: query.filter ?? "",
  });
  const { key = "", header = "", filter = "" } = query;
  useEffect(() => setDraft({ key, header, filter }), [key, header, filter]);
  const fields = useFields(props.topic, true).data?.items ?? [];
  const check = useFilterCheck(draft.filter);

  const word = draft.filter.match(/[\w.[\]*]*$/)?.[0] ?? "";
  const suggestions = [...fields.map((field) => field.path), ...NAMES]
    .filter((path) => path !== word && path.toLowerCase().includes(word.toLowerCase()))
    .slice(0, 10);
  const isWrong = check !== null && !check.ok;
  const apply = () => {
    if (!isWrong) setQuery(draft);
  };
  return (
    <form
      className="filters"
      onSubmit={(event) => {
        event.preventDefault();
        apply();
      }}
    >
      <Group gap="sm" align="flex-start">
        <TextInput
          label={t("messages.filterKey")}
          value={draft.key}
          onChange={(event) => setDraft({ ...draft, key: event.currentTarget.value })}
          w={170}
          size="xs"
          spellCheck={false}
        />
        <TextInput
          label={t("messages.filterHeader")}
          placeholder="trace=abc"
          value={draft.header}
          onChange={(event) => setDraft({ ...draft, header: event.currentTarget.value })}
          w={170}
          size="xs"
          spellCheck={false}
        />
        <TextInput
          label={t("messages.filterExpression")}
          placeholder='value.TotalAmount > 100 && key == "S001"'
          value={draft.filter}
          onChange={(event) => setDraft({ ...draft, filter: event.currentTarget.value })}
          error={
            check &&
            !check.ok &&
            `${check.message} (${t("messages.filterPosition", { n: check.position + 1 })})`
          }
          style={{ flex: 1, minWidth: 260 }}
          size="xs"
          styles={{ input: { fontFamily: "var(--mantine-font-family-monospace)" } }}
          spellCheck={false}
          autoComplete="off"
        />
        <Button type="submit" size="xs" mt={21} leftSection={<IconFilter size={14} />} disabled={isWrong}>
          {t("messages.filterApply")}
        </Button>
      </Group>
      {suggestions.length > 0 && (
        <Group gap={6} mt={8} role="group" aria-label={t("messages.filterFields")}>
          <span className="doc">{t("messages.filterFields")}</span>
          {suggestions.map((path) => (
            <button
              key={path}
              type="button"
              className="chip mono"
              onClick={() =>
                setDraft({
                  ...draft,
                  filter: draft.filter.slice(0, draft.filter.length - word.length) + path,
                })
              }
            >
              {path}
            </button>
          ))}
        </Group>
      )}
    </form>
  );
}
