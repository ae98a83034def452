import { Page } from "../ui/pieces";
export function LivePage() {
  return <Page title="LivePage">…</Page>;
}
