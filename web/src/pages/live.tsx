// Dashboards of panels, each a number made of a topic's messages, drawn as it changes.
import { ActionIcon, Button, Group, Menu, Modal, SegmentedControl, TextInput } from "@mantine/core";
import { useHotkeys } from "@mantine/hooks";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import type { Dashboard, Panel } from "../api/contract";
import { get, part, send } from "../api/http";
import { useLanguage } from "../i18n";
import { useQueryState } from "../router";
import { Command } from "../ui/copy";
import { FailureCard } from "../ui/failure";
import {
  IconActivity,
  IconBell,
  IconDots,
  IconEdit,
  IconExternal,
  IconPause,
  IconPlay,
  IconPlus,
  IconTrash,
} from "../ui/icons";
import { Card, Empty, Page, Waiting } from "../ui/pieces";
import { useInfo } from "../ui/shell";
import { toast, toastFailure } from "../ui/toasts";
import { PanelEditor } from "./live/editor";
import { PanelView } from "./live/panel";

const WINDOWS: [string, number][] = [
  ["1m", 60_000],
  ["5m", 300_000],
  ["15m", 900_000],
];

export function LivePage() {
  const language = useLanguage();
  const { t, maybe } = language;
  const [query, setQuery] = useQueryState();
  const info = useInfo().data;
  const queries = useQueryClient();
  const [isPaused, setPaused] = useState(false);
  const [isNaming, setNaming] = useState(false);
  const [editing, setEditing] = useState<Panel | "new" | null>(null);
  const list = useQuery({
    queryKey: ["dashboards"],
    queryFn: ({ signal }) => get<{ items: Dashboard[] }>("/dashboards", {}, signal),
  });
  useHotkeys([["space", () => setPaused((isPaused) => !isPaused)]]);
  const dashboards = list.data?.items;
  if (!dashboards) {
    return (
      <Page title={t("nav.live")}>
        {list.error ? <FailureCard failure={list.error} retry={() => list.refetch()} /> : <Waiting />}
      </Page>
    );
  }
  // A link to a panel opens its dashboard.
  const withPanel = dashboards.find((one) => one.panels.some((panel) => panel.id === query.panel));
  const dashboard = dashboards.find((one) => one.id === query.dashboard) ?? withPanel ?? dashboards[0];
  const windowMs = WINDOWS.find(([name]) => name === query.window)?.[1] ?? WINDOWS[0]![1];
  const titleOf = (one: Dashboard) => maybe(`dashboard.${one.id}`) ?? one.title;
  const panelTitle = (panel: Panel) => maybe(`panel.${panel.id}`) ?? panel.title;
  const refresh = () => queries.invalidateQueries({ queryKey: ["dashboards"] });
  const isMutable = !info?.readOnly;

  const remove = async (panel: Panel) => {
    try {
      await send("DELETE", `/panels/${part(panel.id)}`);
      await refresh();
      const { id: _, ...copy } = panel;
      toast("good", t("live.panelRemoved", { title: panelTitle(panel) }), {
        label: t("live.undo"),
        run: () => {
          send("POST", `/dashboards/${part(dashboard!.id)}/panels`, copy).then(refresh, (error) =>
            toastFailure(error, language),
          );
        },
      });
    } catch (error) {
      toastFailure(error, language);
    }
  };
  return (
    <Page
      title={t("nav.live")}
      actions={
        <Group gap="xs">
          <SegmentedControl
            size="xs"
            aria-label={t("live.window")}
            data={WINDOWS.map(([name, ms]) => ({ value: name, label: language.duration(ms / 1000) }))}
            value={query.window ?? "1m"}
            onChange={(next) => setQuery({ window: next === "1m" ? null : next })}
          />
          <Button
            size="xs"
            variant="default"
            leftSection={isPaused ? <IconPlay size={14} /> : <IconPause size={14} />}
            onClick={() => setPaused(!isPaused)}
          >
            {t(isPaused ? "messages.resume" : "messages.pause")}
          </Button>
          {isMutable && (
            <Button size="xs" leftSection={<IconPlus size={14} />} onClick={() => setEditing("new")}>
              {t("live.newPanel")}
            </Button>
          )}
        </Group>
      }
    >
      <nav
        aria-label={t("live.dashboards")}
        style={{ display: "flex", gap: 8, marginBottom: 14, flexWrap: "wrap" }}
      >
        {dashboards.map((one) => (
          <button
            key={one.id}
            type="button"
            className="chip"
            aria-current={one.id === dashboard?.id}
            onClick={() => setQuery({ dashboard: one.id === dashboards[0]!.id ? null : one.id, panel: null })}
          >
            {titleOf(one)}
          </button>
        ))}
        {isMutable && (
          <button type="button" className="chip" onClick={() => setNaming(true)}>
            <IconPlus size={13} aria-hidden="true" /> {t("live.newDashboard")}
          </button>
        )}
      </nav>
      {!dashboard || dashboard.panels.length === 0 ? (
        <div className="card">
          <Empty icon={<IconActivity size={26} />} title={t("live.empty")} text={t("live.emptyText")}>
            {isMutable && (
              <Button leftSection={<IconPlus size={16} />} onClick={() => setEditing("new")}>
                {t("live.newPanel")}
              </Button>
            )}
            {dashboards.every((one) => one.panels.length === 0) && <Command text="./init.sh" />}
          </Empty>
        </div>
      ) : (
        <div className="panels">
          {dashboard.panels.map((panel) => (
            <Card
              key={panel.id}
              title={panelTitle(panel)}
              style={query.panel === panel.id ? { borderColor: "var(--accent)" } : undefined}
              aside={
                <Menu position="bottom-end">
                  <Menu.Target>
                    <ActionIcon
                      variant="subtle"
                      color="gray"
                      size="sm"
                      ml="auto"
                      aria-label={t("live.actionsOf", { title: panelTitle(panel) })}
                    >
                      <IconDots size={15} />
                    </ActionIcon>
                  </Menu.Target>
                  <Menu.Dropdown>
                    <PanelLinks panel={panel} />
                    {isMutable && !dashboard.builtIn && (
                      <>
                        <Menu.Divider />
                        <Menu.Item leftSection={<IconEdit size={15} />} onClick={() => setEditing(panel)}>
                          {t("configs.edit")}
                        </Menu.Item>
                        <Menu.Item
                          className="danger"
                          leftSection={<IconTrash size={15} />}
                          onClick={() => remove(panel)}
                        >
                          {t("live.remove")}
                        </Menu.Item>
                      </>
                    )}
                  </Menu.Dropdown>
                </Menu>
              }
            >
              <PanelView
                panel={panel}
                title={panelTitle(panel)}
                stream={{ kind: "panel", panelId: panel.id, historyMs: windowMs }}
                windowMs={windowMs}
                isPaused={isPaused}
              />
            </Card>
          ))}
        </div>
      )}
      {editing && (
        <PanelEditor
          panel={editing === "new" ? null : editing}
          dashboards={dashboards}
          dashboard={dashboard}
          titleOf={titleOf}
          onClose={() => setEditing(null)}
          onSaved={async (id) => {
            await refresh();
            setQuery({ dashboard: id });
          }}
        />
      )}
      {isNaming && (
        <NewDashboard
          onClose={() => setNaming(false)}
          onMade={async (id) => {
            await refresh();
            setQuery({ dashboard: id });
          }}
        />
      )}
    </Page>
  );
}

function PanelLinks(props: { panel: Panel }) {
  const { t } = useLanguage();
  const { panel } = props;
  return (
    <>
      <Menu.Item
        component="a"
        href={`/topics/${part(panel.topic)}?from=live`}
        leftSection={<IconExternal size={15} />}
      >
        {t("live.openTopic", { topic: panel.topic })}
      </Menu.Item>
      <Menu.Item component="a" href={`/alerts?new=${part(panel.id)}`} leftSection={<IconBell size={15} />}>
        {t("live.alertOn")}
      </Menu.Item>
    </>
  );
}

function NewDashboard(props: { onClose: () => void; onMade: (id: string) => void }) {
  const { t } = useLanguage();
  const [title, setTitle] = useState("");
  const [failure, setFailure] = useState<unknown>(null);
  return (
    <Modal
      opened
      onClose={props.onClose}
      title={t("live.newDashboard")}
      closeButtonProps={{ "aria-label": t("shell.close") }}
    >
      <form
        onSubmit={async (event) => {
          event.preventDefault();
          try {
            const made = await send<Dashboard>("POST", "/dashboards", { title });
            props.onMade(made.id);
            props.onClose();
          } catch (error) {
            setFailure(error);
          }
        }}
      >
        <TextInput
          label={t("live.title")}
          value={title}
          onChange={(event) => setTitle(event.currentTarget.value)}
          data-autofocus
          mb="md"
        />
        {failure !== null && <FailureCard failure={failure} compact />}
        <Group justify="flex-end" gap="xs" mt="md">
          <Button variant="default" onClick={props.onClose}>
            {t("shell.cancel")}
          </Button>
          <Button type="submit" disabled={title.trim() === ""}>
            {t("topics.createButton")}
          </Button>
        </Group>
      </form>
    </Modal>
  );
}
