// One topic: its messages, partitions, readers and settings.
import { ActionIcon, Menu, Tabs } from "@mantine/core";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate, useParams } from "@tanstack/react-router";
import { lazy, Suspense, useState } from "react";
import type { TopicDetail, TopicsTick } from "../api/contract";
import { Failure, get, part, send } from "../api/http";
import { useStreamed } from "../api/live";
import { useLanguage } from "../i18n";
import { useQueryState } from "../router";
import { Confirm } from "../ui/confirm";
import { FailureCard } from "../ui/failure";
import { IconCopy, IconDots, IconPlus, IconTrash, IconX } from "../ui/icons";
import { Link, Page, Pill, Waiting } from "../ui/pieces";
import { useInfo } from "../ui/shell";
import { toast } from "../ui/toasts";
import { AddPartitions, CloneTopic } from "./topic/change";
import { Configs } from "./topic/configs";
import { Consumers } from "./topic/consumers";
import { Partitions } from "./topic/partitions";

const Messages = lazy(() => import("./topic/messages").then((module) => ({ default: module.Messages })));

const TABS = ["messages", "partitions", "consumers", "configs"] as const;

export function Topic() {
  const language = useLanguage();
  const { t, count, bytes, rate } = language;
  const name = useParams({ strict: false }).topic!;
  const [query, setQuery] = useQueryState();
  const navigate = useNavigate();
  const queries = useQueryClient();
  const info = useInfo().data;
  const [asking, setAsking] = useState<"delete" | "purge" | "clone" | "partitions" | null>(null);
  /** Being deleted: nobody asks for it any more. */
  const [isGone, setGone] = useState(false);
  const detail = useQuery({
    queryKey: ["topic", name],
    queryFn: ({ signal }) => get<TopicDetail>(`/topics/${part(name)}`, {}, signal),
    refetchInterval: 5_000,
    placeholderData: undefined,
    enabled: !isGone,
  });
  const tick = useStreamed<TopicsTick>({ kind: "topics", names: [name] })?.topics[name];
  const topic = detail.data;
  const tab = TABS.find((known) => known === query.tab) ?? "messages";

  if (!topic) {
    return (
      <Page title={name}>
        {detail.error ? (
          <div className="grid">
            <FailureCard failure={detail.error} retry={() => detail.refetch()} />
            {detail.error instanceof Failure && detail.error.status === 404 && (
              <Link to="/topics">{t("topic.toList")}</Link>
            )}
          </div>
        ) : (
          <Waiting />
        )}
      </Page>
    );
  }
  const messages = tick?.messages ?? topic.messages;
  return (
    <Page
      title={name}
      lead={
        <span
          style={{ display: "flex", flexWrap: "wrap", gap: "2px 14px", alignItems: "center" }}
          className="numeric"
        >
          <span>{t("topic.partitionCount", { n: topic.partitions })}</span>
          <span>{t("topic.replicas", { n: topic.replicationFactor })}</span>
          <span>{t("topic.messageCount", { n: messages, text: count(messages) })}</span>
          <span>{bytes(tick?.sizeBytes ?? topic.sizeBytes)}</span>
          <span>
            {rate(tick?.inMessages ?? topic.inMessages)} {t("unit.perSecond")}
          </span>
          {topic.cleanupPolicy.includes("compact") && <Pill tone="accent">{t("topics.compacted")}</Pill>}
          {topic.internal && <Pill tone="calm">{t("topics.internal")}</Pill>}
        </span>
      }
      actions={
        !info?.readOnly && (
          <Menu position="bottom-end">
            <Menu.Target>
              <ActionIcon variant="default" size="lg" aria-label={t("shell.more")}>
                <IconDots size={18} />
              </ActionIcon>
            </Menu.Target>
            <Menu.Dropdown>
              <Menu.Item leftSection={<IconPlus size={15} />} onClick={() => setAsking("partitions")}>
                {t("topic.addPartitions")}
              </Menu.Item>
              <Menu.Item leftSection={<IconCopy size={15} />} onClick={() => setAsking("clone")}>
                {t("topic.clone")}
              </Menu.Item>
              <Menu.Divider />
              <Menu.Item
                color="red.8"
                leftSection={<IconX size={15} />}
                onClick={() => setAsking("purge")}
                className="danger"
              >
                {t("topic.purge")}
              </Menu.Item>
              <Menu.Item
                color="red.8"
                leftSection={<IconTrash size={15} />}
                onClick={() => setAsking("delete")}
                className="danger"
              >
                {t("topic.delete")}
              </Menu.Item>
            </Menu.Dropdown>
          </Menu>
        )
      }
    >
      <Tabs
        value={tab}
        onChange={(next) =>
          next && navigate({ to: ".", search: (next === "messages" ? {} : { tab: next }) as never })
        }
        keepMounted={false}
      >
        <Tabs.List mb="md">
          {TABS.map((id) => (
            <Tabs.Tab key={id} value={id}>
              {t(`topic.tab.${id}`)}
            </Tabs.Tab>
          ))}
        </Tabs.List>
        <Tabs.Panel value="messages">
          <Suspense fallback={<Waiting />}>
            <Messages key={name} topic={topic} query={query} setQuery={setQuery} />
          </Suspense>
        </Tabs.Panel>
        <Tabs.Panel value="partitions">
          <Partitions topic={topic} />
        </Tabs.Panel>
        <Tabs.Panel value="consumers">
          <Consumers topic={name} />
        </Tabs.Panel>
        <Tabs.Panel value="configs">
          <Configs
            path={`/topics/${part(name)}/configs`}
            queryKey={["topic", name, "configs"]}
            isReadOnly={info?.readOnly ?? true}
          />
        </Tabs.Panel>
      </Tabs>
      {asking === "delete" && (
        <Confirm
          title={t("topic.delete")}
          text={t("topic.deleteText", { name, messages: count(messages), groups: topic.groups })}
          name={name}
          button={t("topic.deleteButton")}
          onClose={() => setAsking(null)}
          run={async () => {
            setGone(true);
            await send("DELETE", `/topics/${part(name)}`, undefined, { confirm: name }).catch((error) => {
              setGone(false);
              throw error;
            });
            // The list must not show it for even a moment.
            queries.removeQueries({ queryKey: ["topics"] });
            toast("good", t("topic.deleted", { name }));
            await navigate({ to: "/topics" });
            queries.removeQueries({ queryKey: ["topic", name] });
          }}
        />
      )}
      {asking === "purge" && (
        <Confirm
          title={t("topic.purge")}
          text={t("topic.purgeText", { name, messages: count(messages) })}
          name={name}
          button={t("topic.purgeButton")}
          onClose={() => setAsking(null)}
          run={async () => {
            await send("POST", `/topics/${part(name)}/purge`, {});
            await queries.invalidateQueries({ queryKey: ["topic", name] });
            toast("good", t("topic.purged", { name }));
          }}
        />
      )}
      {asking === "clone" && <CloneTopic topic={name} onClose={() => setAsking(null)} />}
      {asking === "partitions" && <AddPartitions topic={topic} onClose={() => setAsking(null)} />}
    </Page>
  );
}
