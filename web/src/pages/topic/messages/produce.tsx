// Sends messages by hand.
import {
  ActionIcon,
  Button,
  Checkbox,
  Group,
  Modal,
  Select,
  Stack,
  Textarea,
  TextInput,
} from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import type { NewMessage, Produced, TopicDetail } from "../../../api/contract";
import { part, send } from "../../../api/http";
import { useLanguage } from "../../../i18n";
import { Command, tool } from "../../../ui/copy";
import { FailureCard } from "../../../ui/failure";
import { IconPlus, IconSend, IconX } from "../../../ui/icons";
import { parseJson } from "../../../ui/json";
import { useInfo } from "../../../ui/shell";
import { toast } from "../../../ui/toasts";

export interface Draft {
  key: string;
  hasKey: boolean;
  value: string;
  isTombstone: boolean;
  /** Empty: by the key, or any. */
  partition: string;
  headers: [string, string][];
}

export const EMPTY_DRAFT: Draft = {
  key: "",
  hasKey: false,
  value: "",
  isTombstone: false,
  partition: "",
  headers: [],
};

const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;

export function Produce(props: {
  topic: TopicDetail;
  draft: Draft;
  onClose: () => void;
  onProduced: (partition: number, offset: number) => void;
}) {
  const { t } = useLanguage();
  const queries = useQueryClient();
  const info = useInfo().data;
  const [draft, setDraft] = useState(props.draft);
  const [isBusy, setBusy] = useState(false);
  const [failure, setFailure] = useState<unknown>(null);
  const change = (part: Partial<Draft>) => setDraft((before) => ({ ...before, ...part }));
  const name = props.topic.name;
  const looksLikeJson = /^\s*[{[]/.test(draft.value);
  const isBrokenJson = looksLikeJson && parseJson(draft.value) === null;

  const produce = async () => {
    setBusy(true);
    setFailure(null);
    const message: NewMessage = {
      key: draft.key !== "" || draft.hasKey ? { text: draft.key } : null,
      value: draft.isTombstone ? null : { text: draft.value },
      headers: draft.headers
        .filter(([name]) => name !== "")
        .map(([name, value]) => ({ name, value: { text: value } })),
    };
    if (draft.partition !== "") message.partition = Number(draft.partition);
    try {
      const { items } = await send<{ items: Produced[] }>("POST", `/topics/${part(name)}/messages`, {
        messages: [message],
      });
      const produced = items[0]!;
      queries.invalidateQueries({ queryKey: ["topic", name] });
      const { partition, offset } = produced;
      toast(
        "good",
        t("produce.done", { partition, offset: offset ?? "?" }),
        offset === null
          ? undefined
          : { label: t("produce.show"), run: () => props.onProduced(partition, offset) },
      );
      props.onClose();
    } catch (error) {
      setFailure(error);
      setBusy(false);
    }
  };
  const producer = `${tool("producer", info?.bootstrap[0])} --topic ${name}`;
  const command = draft.isTombstone
    ? `printf '%s\\tNULL\\n' ${quoted(draft.key)} | ${producer} --property parse.key=true --property null.marker=NULL`
    : draft.key
      ? `printf '%s\\t%s\\n' ${quoted(draft.key)} ${quoted(draft.value)} | ${producer} --property parse.key=true`
      : `printf '%s\\n' ${quoted(draft.value)} | ${producer}`;
  return (
    <Modal
      opened
      onClose={props.onClose}
      title={t("produce.title", { topic: name })}
      size="lg"
      closeButtonProps={{ "aria-label": t("shell.close") }}
    >
      <form
        onSubmit={(event) => {
          event.preventDefault();
          produce();
        }}
      >
        <Stack gap="sm">
          <Group grow align="flex-end">
            <TextInput
              label={t("messages.key")}
              description={t("produce.keyHint")}
              value={draft.key}
              onChange={(event) =>
                change({ key: event.currentTarget.value, hasKey: event.currentTarget.value !== "" })
              }
              spellCheck={false}
              autoComplete="off"
            />
            <Select
              label={t("messages.partition")}
              description={t("produce.partitionHint")}
              data={[
                { value: "", label: t("produce.byKey") },
                ...props.topic.partitionList.map((one) => ({
                  value: String(one.partition),
                  label: String(one.partition),
                })),
              ]}
              value={draft.partition}
              onChange={(partition) => change({ partition: partition ?? "" })}
              allowDeselect={false}
            />
          </Group>
          <Textarea
            label={t("messages.value")}
            description={isBrokenJson ? t("produce.brokenJson") : undefined}
            value={draft.value}
            onChange={(event) => change({ value: event.currentTarget.value })}
            onKeyDown={(event) => {
              if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) produce();
            }}
            disabled={draft.isTombstone}
            autosize
            minRows={6}
            maxRows={16}
            styles={{ input: { fontFamily: "var(--mantine-font-family-monospace)", fontSize: 13 } }}
            data-autofocus
            spellCheck={false}
          />
          <Checkbox
            label={t("produce.tombstone")}
            checked={draft.isTombstone}
            onChange={(event) => change({ isTombstone: event.currentTarget.checked })}
          />
          {draft.headers.map(([header, value], index) => (
            <Group key={index} gap="xs" wrap="nowrap">
              <TextInput
                aria-label={t("produce.headerName")}
                placeholder={t("produce.headerName")}
                value={header}
                onChange={(event) =>
                  change({ headers: draft.headers.with(index, [event.currentTarget.value, value]) })
                }
                style={{ flex: 1 }}
                size="xs"
              />
              <TextInput
                aria-label={t("produce.headerValue")}
                placeholder={t("produce.headerValue")}
                value={value}
                onChange={(event) =>
                  change({ headers: draft.headers.with(index, [header, event.currentTarget.value]) })
                }
                style={{ flex: 2 }}
                size="xs"
              />
              <ActionIcon
                variant="subtle"
                color="gray"
                aria-label={t("produce.removeHeader")}
                onClick={() => change({ headers: draft.headers.toSpliced(index, 1) })}
              >
                <IconX size={14} />
              </ActionIcon>
            </Group>
          ))}
          <Button
            variant="subtle"
            size="compact-sm"
            leftSection={<IconPlus size={14} />}
            style={{ alignSelf: "flex-start" }}
            onClick={() => change({ headers: [...draft.headers, ["", ""]] })}
          >
            {t("produce.addHeader")}
          </Button>
          {failure !== null && <FailureCard failure={failure} compact />}
          <Command text={command} label={t("topics.asCommand")} />
          <Group justify="flex-end" gap="xs">
            <Button variant="default" onClick={props.onClose}>
              {t("shell.cancel")}
            </Button>
            <Button type="submit" loading={isBusy} leftSection={<IconSend size={15} />}>
              {t("produce.button")}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
