// An error, in words: what failed, why, what to do.
import { Button, Group } from "@mantine/core";
import { Failure } from "../api/http";
import { type Language, useLanguage } from "../i18n";
import { CopyButton } from "./copy";
import { IconAlert, IconRefresh } from "./icons";

export function explain(failure: Failure, { t, maybe, locale }: Language) {
  const { code, what, why, remedy } = failure.error;
  const known = maybe(`error.${code}`);
  // The server speaks English: to other readers what we have words for comes first.
  const isOurs = known !== null && locale !== "en";
  const title = code === "CONSOLE_UNREACHABLE" ? t("error.title") : what;
  return {
    title: isOurs ? known : title,
    why: isOurs ? null : (known ?? why),
    /** The server's words, where ours were shown. */
    detail: isOurs ? `${title}: ${why}` : known && known !== why ? why : null,
    remedy: maybe(`remedy.${code}`) ?? remedy,
  };
}

export function FailureCard(props: { failure: unknown; retry?: () => void; compact?: boolean }) {
  const language = useLanguage();
  const { t } = language;
  const failure =
    props.failure instanceof Failure
      ? props.failure
      : new Failure(0, {
          code: "INTERNAL",
          what: t("error.title"),
          why: String(props.failure),
          remedy: null,
          retriable: true,
          requestId: "",
          field: null,
        });
  const { title, why, detail, remedy } = explain(failure, language);
  const { code, requestId } = failure.error;
  const report = `${failure.error.what}: ${failure.error.why}\n${code}, HTTP ${failure.status}, request ${requestId || "–"}\n${location.href}`;
  return (
    <div className="card" role="alert" style={{ borderColor: "var(--bad)" }}>
      <Group gap="sm" align="flex-start" wrap="nowrap">
        <span className="tone-bad" style={{ paddingTop: 2 }}>
          <IconAlert size={20} />
        </span>
        <div style={{ minWidth: 0, flex: 1, fontSize: "0.875rem" }}>
          <strong style={{ overflowWrap: "anywhere" }}>{title}</strong>
          {why && <div style={{ overflowWrap: "anywhere" }}>{why}</div>}
          {detail && (
            <div style={{ color: "var(--mantine-color-dimmed)", overflowWrap: "anywhere" }}>{detail}</div>
          )}
          {remedy && (
            <div style={{ marginTop: 4 }}>
              <strong>{t("error.remedy")}</strong> {remedy}
            </div>
          )}
          {!props.compact && (
            <Group gap="xs" mt="sm">
              {props.retry && (
                <Button size="compact-sm" leftSection={<IconRefresh size={14} />} onClick={props.retry}>
                  {t("error.retry")}
                </Button>
              )}
              <CopyButton text={report} label={t("error.copy")} />
              <span className="mono" style={{ color: "var(--mantine-color-dimmed)" }}>
                {code}
              </span>
            </Group>
          )}
        </div>
      </Group>
    </div>
  );
}
