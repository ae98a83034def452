import { Page } from "../ui/pieces";
export function Alerts() {
  return <Page title="Alerts">…</Page>;
}
