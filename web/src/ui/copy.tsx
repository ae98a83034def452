// Copying to the clipboard, by a button that says when it is done.
import { ActionIcon, Button, Tooltip } from "@mantine/core";
import { useState } from "react";
import { useLanguage } from "../i18n";
import { IconCheck, IconCopy } from "./icons";
import { toast } from "./toasts";

const SHOWN_MS = 1_500;

/** Works without HTTPS too, where browsers have no clipboard interface. */
async function copy(text: string) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  const isCopied = document.execCommand("copy");
  area.remove();
  if (!isCopied) throw new Error("the browser does not let this page copy");
}

export function CopyButton(props: { text: string; label?: string; size?: number }) {
  const { t } = useLanguage();
  const [isDone, setDone] = useState(false);
  const run = () =>
    copy(props.text).then(
      () => {
        setDone(true);
        setTimeout(() => setDone(false), SHOWN_MS);
      },
      (error) => toast("bad", String(error)),
    );
  const icon = isDone ? <IconCheck size={props.size ?? 15} /> : <IconCopy size={props.size ?? 15} />;
  if (props.label) {
    return (
      <Button size="compact-sm" variant="default" leftSection={icon} onClick={run}>
        {isDone ? t("shell.copied") : props.label}
      </Button>
    );
  }
  return (
    <Tooltip label={isDone ? t("shell.copied") : t("shell.copy")}>
      <ActionIcon variant="subtle" color="gray" aria-label={t("shell.copy")} onClick={run}>
        {icon}
      </ActionIcon>
    </Tooltip>
  );
}

/** How Kafka's console tools begin, as `afluente tools install` and Apache Kafka itself name them. */
export function tool(what: "producer" | "consumer", server = "localhost:9092") {
  return `kafka-console-${what}.sh --bootstrap-server ${server}`;
}

/** A command to type, with a button that copies it. */
export function Command(props: { text: string; label?: string }) {
  const { t } = useLanguage();
  return (
    <div className="command" role="group" aria-label={props.label ?? t("shell.command")}>
      <pre>{props.text}</pre>
      <CopyButton text={props.text} />
    </div>
  );
}
