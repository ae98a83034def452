// Small forms that change a topic: more partitions, a copy of its settings under another name.
import { Button, Group, Modal, NumberInput, Stack, Text, TextInput } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { type ReactNode, useState } from "react";
import type { TopicDetail } from "../../api/contract";
import { part, send } from "../../api/http";
import { useLanguage } from "../../i18n";
import { FailureCard } from "../../ui/failure";
import { toast } from "../../ui/toasts";

function Form(props: {
  title: string;
  text: string;
  button: string;
  isReady: boolean;
  run: () => Promise<void>;
  onClose: () => void;
  children: ReactNode;
}) {
  const { t } = useLanguage();
  const [isBusy, setBusy] = useState(false);
  const [failure, setFailure] = useState<unknown>(null);
  return (
    <Modal
      opened
      onClose={props.onClose}
      title={props.title}
      closeButtonProps={{ "aria-label": t("shell.close") }}
    >
      <form
        onSubmit={async (event) => {
          event.preventDefault();
          if (!props.isReady) return;
          setBusy(true);
          setFailure(null);
          try {
            await props.run();
            props.onClose();
          } catch (error) {
            setFailure(error);
            setBusy(false);
          }
        }}
      >
        <Stack gap="md">
          <Text size="sm">{props.text}</Text>
          {props.children}
          {failure !== null && <FailureCard failure={failure} compact />}
          <Group justify="flex-end" gap="xs">
            <Button variant="default" onClick={props.onClose}>
              {t("shell.cancel")}
            </Button>
            <Button type="submit" disabled={!props.isReady} loading={isBusy}>
              {props.button}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}

export function CloneTopic(props: { topic: string; onClose: () => void }) {
  const { t } = useLanguage();
  const navigate = useNavigate();
  const queries = useQueryClient();
  const [name, setName] = useState(`${props.topic}-copy`);
  return (
    <Form
      title={t("topic.clone")}
      text={t("topic.cloneText", { name: props.topic })}
      button={t("topic.cloneButton")}
      isReady={name !== "" && name !== props.topic}
      onClose={props.onClose}
      run={async () => {
        await send("POST", `/topics/${part(props.topic)}/clone`, { name });
        await queries.invalidateQueries({ queryKey: ["topics"] });
        toast("good", t("topics.created", { name }));
        navigate({ to: "/topics/$topic", params: { topic: name } });
      }}
    >
      <TextInput
        label={t("topics.name")}
        value={name}
        onChange={(event) => setName(event.currentTarget.value)}
        data-autofocus
        autoComplete="off"
        spellCheck={false}
      />
    </Form>
  );
}

export function AddPartitions(props: { topic: TopicDetail; onClose: () => void }) {
  const { t } = useLanguage();
  const queries = useQueryClient();
  const { name, partitions } = props.topic;
  const [count, setCount] = useState<number | string>(partitions + 1);
  return (
    <Form
      title={t("topic.addPartitions")}
      text={t("topic.addPartitionsText")}
      button={t("topic.addPartitionsButton")}
      isReady={Number(count) > partitions}
      onClose={props.onClose}
      run={async () => {
        await send("POST", `/topics/${part(name)}/partitions`, { count: Number(count) });
        await queries.invalidateQueries({ queryKey: ["topic", name] });
        toast("good", t("topic.partitionsAdded", { n: Number(count) }));
      }}
    >
      <NumberInput
        label={t("topic.partitionTotal")}
        min={partitions + 1}
        max={10_000}
        allowDecimal={false}
        value={count}
        onChange={setCount}
        data-autofocus
      />
    </Form>
  );
}
