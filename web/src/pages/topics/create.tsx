// The form for a new topic.
import { Button, Group, Modal, NumberInput, Select, Stack, TextInput } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import type { NewTopic, TopicRow } from "../../api/contract";
import { Failure, send } from "../../api/http";
import { useLanguage } from "../../i18n";
import { Command } from "../../ui/copy";
import { FailureCard } from "../../ui/failure";
import { useInfo } from "../../ui/shell";
import { toast } from "../../ui/toasts";

const NAME = /^[\w.-]{1,249}$/;
const DAY_MS = 86_400_000;

export function CreateTopic(props: { onClose: () => void }) {
  const { t } = useLanguage();
  const info = useInfo().data;
  const navigate = useNavigate();
  const queries = useQueryClient();
  const [name, setName] = useState("");
  const [isTouched, setTouched] = useState(false);
  const [partitions, setPartitions] = useState<number | string>("");
  const [replication, setReplication] = useState<number | string>("");
  const [policy, setPolicy] = useState<string | null>("delete");
  const [retention, setRetention] = useState<string | null>("");
  const [isBusy, setBusy] = useState(false);
  const [failure, setFailure] = useState<unknown>(null);

  const configs: Record<string, string> = {};
  if (policy && policy !== "delete") configs["cleanup.policy"] = policy;
  if (retention && policy !== "compact") configs["retention.ms"] = retention;
  const isValid = NAME.test(name) && name !== "." && name !== "..";
  const command = [
    `kafka-topics.sh --bootstrap-server ${info?.bootstrap[0] ?? "localhost:9092"} --create --topic ${name || "…"}`,
    partitions === "" ? "" : ` --partitions ${partitions}`,
    replication === "" ? "" : ` --replication-factor ${replication}`,
    ...Object.entries(configs).map(([key, value]) => ` --config ${key}=${value}`),
  ].join("");

  const create = async () => {
    setTouched(true);
    if (!isValid) return;
    setBusy(true);
    setFailure(null);
    try {
      const body: NewTopic = { name, configs };
      if (partitions !== "") body.partitions = Number(partitions);
      if (replication !== "") body.replicationFactor = Number(replication);
      await send<TopicRow>("POST", "/topics", body);
      await queries.invalidateQueries({ queryKey: ["topics"] });
      toast("good", t("topics.created", { name }));
      navigate({ to: "/topics/$topic", params: { topic: name } });
    } catch (error) {
      setFailure(error);
      setBusy(false);
    }
  };
  const field = failure instanceof Failure ? failure.error.field : null;
  return (
    <Modal
      opened
      onClose={props.onClose}
      title={t("topics.create")}
      size="lg"
      closeButtonProps={{ "aria-label": t("shell.close") }}
    >
      <form
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          create();
        }}
      >
        <Stack gap="md">
          <TextInput
            label={t("topics.name")}
            description={t("topics.nameHint")}
            value={name}
            onChange={(event) => setName(event.currentTarget.value)}
            onBlur={() => name && setTouched(true)}
            error={(isTouched && !isValid && t("topics.nameWrong")) || field === "name"}
            required
            data-autofocus
            autoComplete="off"
            spellCheck={false}
          />
          <Group grow align="flex-end">
            <NumberInput
              label={t("topics.partitions")}
              description={t("topics.partitionsHint")}
              placeholder={t("topics.clusterDefault")}
              min={1}
              max={10_000}
              allowDecimal={false}
              value={partitions}
              onChange={setPartitions}
            />
            <NumberInput
              label={t("topics.replicationFactor")}
              description={t("topics.replicationHint")}
              placeholder={t("topics.clusterDefault")}
              min={1}
              max={32}
              allowDecimal={false}
              value={replication}
              onChange={setReplication}
            />
          </Group>
          <Group grow align="flex-end">
            <Select
              label={t("topics.policy")}
              data={[
                { value: "delete", label: t("topics.policyDelete") },
                { value: "compact", label: t("topics.policyCompact") },
                { value: "compact,delete", label: t("topics.policyBoth") },
              ]}
              value={policy}
              onChange={setPolicy}
              allowDeselect={false}
            />
            <Select
              label={t("topics.retention")}
              disabled={policy === "compact"}
              data={[
                { value: "", label: t("topics.clusterDefault") },
                { value: String(3_600_000), label: t("topics.hours", { n: 1 }) },
                { value: String(DAY_MS), label: t("topics.days", { n: 1 }) },
                { value: String(7 * DAY_MS), label: t("topics.days", { n: 7 }) },
                { value: String(30 * DAY_MS), label: t("topics.days", { n: 30 }) },
                { value: "-1", label: t("topics.forever") },
              ]}
              value={retention}
              onChange={setRetention}
              allowDeselect={false}
            />
          </Group>
          {failure !== null && <FailureCard failure={failure} compact />}
          <Command text={command} label={t("topics.asCommand")} />
          <Group justify="flex-end" gap="xs">
            <Button variant="default" onClick={props.onClose}>
              {t("shell.cancel")}
            </Button>
            <Button type="submit" loading={isBusy}>
              {t("topics.createButton")}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
