// Ctrl-K: one field that finds topics, groups, brokers, panels, rules, pages and actions.
import { Kbd, Modal, TextInput } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { type ComponentType, useMemo, useState } from "react";
import type { SearchHit } from "../api/contract";
import { get } from "../api/http";
import { LOCALES, type Locale, useLanguage } from "../i18n";
import { prefer } from "../preferences";
import {
  IconActivity,
  IconBell,
  IconHelp,
  IconLanguage,
  IconPlus,
  IconSearch,
  IconServer,
  IconSun,
  IconTopic,
  IconUsers,
} from "./icons";
import { PAGES } from "./shell";

interface Item {
  id: string;
  title: string;
  kind: string;
  icon: ComponentType<{ size?: number; "aria-hidden"?: "true" }>;
  run: () => void;
}

export function Palette(props: { onClose: () => void; onHelp: () => void }) {
  const { t } = useLanguage();
  const navigate = useNavigate();
  const [text, setText] = useState("");
  const [query] = useDebouncedValue(text.trim(), 80);
  const [chosen, setChosen] = useState(0);
  const { data } = useQuery({
    queryKey: ["search", query],
    queryFn: ({ signal }) => get<{ items: SearchHit[] }>("/search", { q: query, limit: 20 }, signal),
    enabled: query !== "",
  });

  const items = useMemo(() => {
    const own: Item[] = [
      ...PAGES.map((page) => ({
        id: page.to,
        title: t(page.label),
        kind: t("palette.page"),
        icon: page.icon,
        run: () => navigate({ to: page.to }),
      })),
      {
        id: "create",
        title: t("topics.create"),
        kind: t("palette.action"),
        icon: IconPlus,
        run: () => navigate({ to: "/topics", search: { create: "1" } }),
      },
      ...(["light", "dark", "auto"] as const).map((name) => ({
        id: `theme-${name}`,
        title: `${t("shell.theme")}: ${t(`theme.${name}`)}`,
        kind: t("palette.action"),
        icon: IconSun,
        run: () => prefer({ theme: name }),
      })),
      ...(Object.keys(LOCALES) as Locale[]).map((code) => ({
        id: `lang-${code}`,
        title: `${t("shell.language")}: ${LOCALES[code]}`,
        kind: t("palette.action"),
        icon: IconLanguage,
        run: () => prefer({ locale: code }),
      })),
      { id: "help", title: t("help.title"), kind: t("palette.action"), icon: IconHelp, run: props.onHelp },
    ];
    const wanted = text.trim().toLowerCase();
    const found = (wanted === "" ? [] : (data?.items ?? [])).map((hit): Item => {
      const icon = {
        topic: IconTopic,
        group: IconUsers,
        broker: IconServer,
        panel: IconActivity,
        rule: IconBell,
      }[hit.kind];
      const run = () => {
        if (hit.kind === "topic") navigate({ to: "/topics/$topic", params: { topic: hit.id } });
        else if (hit.kind === "group") navigate({ to: "/groups/$group", params: { group: hit.id } });
        else if (hit.kind === "broker") navigate({ to: "/cluster", search: { broker: hit.id } });
        else if (hit.kind === "panel") navigate({ to: "/live", search: { panel: hit.id } });
        else navigate({ to: "/alerts", search: { rule: hit.id } });
      };
      return { id: `${hit.kind}-${hit.id}`, title: hit.title, kind: t(`palette.${hit.kind}`), icon, run };
    });
    return [
      ...own.filter((item) => item.title.toLowerCase().includes(wanted)).slice(0, wanted ? 4 : 8),
      ...found,
    ];
  }, [text, data, t, navigate, props.onHelp]);

  const at = Math.min(chosen, items.length - 1);
  const run = (item: Item | undefined) => {
    if (!item) return;
    props.onClose();
    item.run();
  };
  return (
    <Modal.Root opened onClose={props.onClose} padding={0} size="lg" centered={false} yOffset="12vh">
      <Modal.Overlay backgroundOpacity={0.45} />
      <Modal.Content aria-label={t("palette.open")}>
        <TextInput
          data-autofocus
          // At once, so that what is typed right after Ctrl-K is not lost.
          autoFocus
          size="md"
          variant="unstyled"
          px="md"
          leftSection={<IconSearch size={18} aria-hidden="true" />}
          leftSectionWidth={50}
          placeholder={t("palette.hint")}
          aria-label={t("palette.open")}
          value={text}
          role="combobox"
          aria-expanded="true"
          aria-controls="palette-list"
          aria-activedescendant={at >= 0 ? `palette-${at}` : undefined}
          autoComplete="off"
          spellCheck={false}
          onChange={(event) => {
            setText(event.currentTarget.value);
            setChosen(0);
          }}
          onKeyDown={(event) => {
            if (event.key === "ArrowDown") setChosen((at + 1) % Math.max(1, items.length));
            else if (event.key === "ArrowUp") setChosen((at - 1 + items.length) % Math.max(1, items.length));
            else if (event.key === "Enter") run(items[at]);
            else return;
            event.preventDefault();
          }}
        />
        <div style={{ borderTop: "1px solid var(--line)", padding: 8, maxHeight: "52vh", overflowY: "auto" }}>
          <div role="listbox" id="palette-list" aria-label={t("palette.results")}>
            {items.map((item, index) => (
              // biome-ignore lint/a11y/useKeyWithClickEvents: the field above has the keys
              <div
                key={item.id}
                id={`palette-${index}`}
                role="option"
                aria-selected={index === at}
                className="palette-item"
                onMouseMove={() => setChosen(index)}
                onClick={() => run(item)}
              >
                <item.icon size={17} aria-hidden="true" />
                <span style={{ overflowWrap: "anywhere" }}>{item.title}</span>
                <span className="kind">{item.kind}</span>
              </div>
            ))}
          </div>
          {items.length === 0 && (
            <div style={{ padding: 16, color: "var(--mantine-color-dimmed)", fontSize: "0.875rem" }}>
              {t("palette.nothing")}
            </div>
          )}
        </div>
        <div
          style={{
            display: "flex",
            gap: 14,
            padding: "8px 16px",
            borderTop: "1px solid var(--line)",
            fontSize: "0.75rem",
            color: "var(--mantine-color-dimmed)",
          }}
        >
          <span>
            <Kbd size="xs">↑</Kbd> <Kbd size="xs">↓</Kbd> {t("palette.move")}
          </span>
          <span>
            <Kbd size="xs">Enter</Kbd> {t("palette.choose")}
          </span>
          <span>
            <Kbd size="xs">Esc</Kbd> {t("palette.close")}
          </span>
        </div>
      </Modal.Content>
    </Modal.Root>
  );
}
