import { Page } from "../ui/pieces";
export function Group() {
  return <Page title="Group">…</Page>;
}
