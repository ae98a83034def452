// Asks before something is destroyed: says what will be, and wants its name typed.
import { Button, Group, Modal, Stack, Text, TextInput } from "@mantine/core";
import { type ReactNode, useState } from "react";
import { useLanguage } from "../i18n";
import { FailureCard } from "./failure";

export function Confirm(props: {
  title: string;
  text: ReactNode;
  /** What has to be typed; absent where a click is enough. */
  name?: string;
  button: string;
  run: () => Promise<unknown>;
  onClose: () => void;
}) {
  const { t } = useLanguage();
  const [typed, setTyped] = useState("");
  const [isBusy, setBusy] = useState(false);
  const [failure, setFailure] = useState<unknown>(null);
  const run = async () => {
    setBusy(true);
    setFailure(null);
    try {
      await props.run();
      props.onClose();
    } catch (error) {
      setFailure(error);
      setBusy(false);
    }
  };
  const isReady = props.name === undefined || typed === props.name;
  return (
    <Modal
      opened
      onClose={props.onClose}
      title={props.title}
      closeButtonProps={{ "aria-label": t("shell.close") }}
    >
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (isReady) run();
        }}
      >
        <Stack gap="md">
          <Text size="sm" component="div">
            {props.text}
          </Text>
          {props.name !== undefined && (
            <TextInput
              label={t("confirm.type", { name: props.name })}
              value={typed}
              onChange={(event) => setTyped(event.currentTarget.value)}
              data-autofocus
              autoComplete="off"
              spellCheck={false}
            />
          )}
          {failure !== null && <FailureCard failure={failure} compact />}
          <Group justify="flex-end" gap="xs">
            <Button variant="default" onClick={props.onClose}>
              {t("shell.cancel")}
            </Button>
            <Button type="submit" color="red.8" disabled={!isReady} loading={isBusy}>
              {props.button}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
