// Short words on what was done or failed, in a corner; read out by screen readers.
import { ActionIcon, Button } from "@mantine/core";
import { useSyncExternalStore } from "react";
import { Failure } from "../api/http";
import { type Language, useLanguage } from "../i18n";
import { explain } from "./failure";
import { IconAlert, IconCircleCheck, IconX } from "./icons";

interface Toast {
  id: number;
  tone: "good" | "bad";
  text: string;
  action?: { label: string; run: () => void };
}

const STAY_MS = 6_000;
const SHOWN_MAX = 4;

let toasts: Toast[] = [];
let nextId = 1;
const listeners = new Set<() => void>();

function set(next: Toast[]) {
  toasts = next.slice(-SHOWN_MAX);
  for (const listener of listeners) listener();
}

const dismiss = (id: number) => set(toasts.filter((toast) => toast.id !== id));

export function toast(tone: Toast["tone"], text: string, action?: Toast["action"]) {
  const id = nextId++;
  set([...toasts, { id, tone, text, action }]);
  setTimeout(() => dismiss(id), tone === "bad" ? STAY_MS * 2 : STAY_MS);
}

export function toastFailure(failure: unknown, language: Language) {
  if (failure instanceof Failure) {
    const { title, why, remedy } = explain(failure, language);
    toast("bad", [title, why, remedy].filter(Boolean).join(" · "));
  } else {
    toast("bad", String(failure));
  }
}

export function Toasts() {
  const { t } = useLanguage();
  const shown = useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => toasts,
  );
  return (
    <section className="toasts" aria-live="polite" aria-label={t("shell.notices")}>
      {shown.map((toast) => (
        <div key={toast.id} className="toast" data-tone={toast.tone}>
          <span className={`tone-${toast.tone}`} style={{ display: "flex", paddingTop: 1 }}>
            {toast.tone === "good" ? <IconCircleCheck size={18} /> : <IconAlert size={18} />}
          </span>
          <span style={{ flex: 1, overflowWrap: "anywhere" }}>{toast.text}</span>
          {toast.action && (
            <Button size="compact-xs" variant="light" onClick={toast.action.run}>
              {toast.action.label}
            </Button>
          )}
          <ActionIcon
            variant="subtle"
            color="gray"
            size="sm"
            aria-label={t("shell.close")}
            onClick={() => dismiss(toast.id)}
          >
            <IconX size={14} />
          </ActionIcon>
        </div>
      ))}
    </section>
  );
}
