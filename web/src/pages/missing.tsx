// An address that leads nowhere.
import { useLanguage } from "../i18n";
import { IconSearch } from "../ui/icons";
import { Empty, Link, Page } from "../ui/pieces";

export function Missing() {
  const { t } = useLanguage();
  return (
    <Page title={t("missing.title")}>
      <div className="card">
        <Empty icon={<IconSearch size={26} />} title={t("missing.title")} text={t("missing.text")}>
          <Link to="/">{t("nav.overview")}</Link>
        </Empty>
      </div>
    </Page>
  );
}
