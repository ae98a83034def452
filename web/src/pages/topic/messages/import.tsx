// Sends the lines of a file as messages.
import { Button, Group, Modal, Stack, Text } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import { useRef, useState } from "react";
import type { ImportEvent } from "../../../api/contract";
import { Failure, lines, part, url } from "../../../api/http";
import { useLanguage } from "../../../i18n";
import { FailureCard } from "../../../ui/failure";
import { IconUpload } from "../../../ui/icons";
import { Bar } from "../../../ui/pieces";

type Done = Extract<ImportEvent, { type: "done" }>;

export function Import(props: { topic: string; onClose: () => void }) {
  const { t, number } = useLanguage();
  const queries = useQueryClient();
  const [file, setFile] = useState<File | null>(null);
  const [progress, setProgress] = useState<{ produced: number; failed: number; readBytes: number } | null>(
    null,
  );
  const [done, setDone] = useState<Done | null>(null);
  const [failure, setFailure] = useState<unknown>(null);
  const running = useRef<AbortController | null>(null);
  const run = async () => {
    if (!file) return;
    const isCsv = /\.csv$/i.test(file.name);
    const controller = new AbortController();
    running.current = controller;
    setFailure(null);
    setDone(null);
    setProgress({ produced: 0, failed: 0, readBytes: 0 });
    try {
      await lines<ImportEvent>(
        url(`/topics/${part(props.topic)}/import`, { format: isCsv ? "csv" : "jsonl" }),
        {
          method: "POST",
          body: file,
          headers: { "content-type": isCsv ? "text/csv" : "application/x-ndjson" },
          signal: controller.signal,
        },
        (event) => {
          if (event.type === "error") throw new Failure(200, event.error);
          if (event.type === "done") setDone(event);
          else setProgress(event);
        },
      );
      queries.invalidateQueries({ queryKey: ["topic", props.topic] });
    } catch (error) {
      if (!controller.signal.aborted) setFailure(error);
    }
    setProgress(null);
  };
  const close = () => {
    running.current?.abort();
    props.onClose();
  };
  return (
    <Modal
      opened
      onClose={close}
      title={t("import.title", { topic: props.topic })}
      closeButtonProps={{ "aria-label": t("shell.close") }}
    >
      <Stack gap="md">
        <Text size="sm">{t("import.text")}</Text>
        <input
          type="file"
          accept=".jsonl,.ndjson,.json,.csv,.txt"
          aria-label={t("import.file")}
          onChange={(event) => {
            setFile(event.currentTarget.files?.[0] ?? null);
            setDone(null);
          }}
        />
        {progress && file && (
          <div>
            <Bar
              share={progress.readBytes / Math.max(1, file.size)}
              label={t("import.progress", { n: progress.produced })}
            />
            <Text size="sm" mt={6}>
              {t("import.progress", { n: progress.produced })}
            </Text>
          </div>
        )}
        {done && (
          <div role="status">
            <Text size="sm">{t("import.done", { n: done.produced, failed: done.failed })}</Text>
            {done.errors.length > 0 && (
              <ul className="doc" style={{ maxHeight: 160, overflowY: "auto" }}>
                {done.errors.slice(0, 100).map((error) => (
                  <li key={error.line}>
                    {t("import.line", { n: number(error.line) })}: {error.why}
                  </li>
                ))}
              </ul>
            )}
          </div>
        )}
        {failure !== null && <FailureCard failure={failure} compact />}
        <Group justify="flex-end" gap="xs">
          <Button variant="default" onClick={close}>
            {done ? t("shell.close") : t("shell.cancel")}
          </Button>
          <Button
            leftSection={<IconUpload size={15} />}
            disabled={!file}
            loading={progress !== null}
            onClick={run}
          >
            {t("import.button")}
          </Button>
        </Group>
      </Stack>
    </Modal>
  );
}
