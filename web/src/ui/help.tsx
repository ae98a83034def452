// The keys, and where to read on.
import { Kbd, Modal } from "@mantine/core";
import { useLanguage } from "../i18n";
import { PAGES } from "./shell";

export function Help(props: { onClose: () => void }) {
  const { t } = useLanguage();
  const rows: [string[], string][] = [
    [["Ctrl", "K"], t("help.palette")],
    ...PAGES.map((page) => [["g", page.key], t("help.goTo", { page: t(page.label) })] as [string[], string]),
    [["/"], t("help.filter")],
    [["↑", "↓"], t("help.rows")],
    [["Enter"], t("help.open")],
    [["Space"], t("help.pause")],
    [["n"], t("help.newest")],
    [["o"], t("help.oldest")],
    [["l"], t("help.tail")],
    [["p"], t("help.produce")],
    [["[", "]"], t("help.neighbours")],
    [["t"], t("help.theme")],
    [["Esc"], t("help.close")],
    [["?"], t("help.this")],
  ];
  return (
    <Modal
      opened
      onClose={props.onClose}
      title={t("help.title")}
      closeButtonProps={{ "aria-label": t("shell.close") }}
    >
      <dl className="keys">
        {rows.map(([keys, text]) => (
          <div key={text} style={{ display: "contents" }}>
            <dt>
              {keys.map((key, index) => (
                <span key={key}>
                  {index > 0 && " "}
                  <Kbd size="sm">{key}</Kbd>
                </span>
              ))}
            </dt>
            <dd>{text}</dd>
          </div>
        ))}
      </dl>
    </Modal>
  );
}
