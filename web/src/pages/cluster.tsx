import { Page } from "../ui/pieces";
export function ClusterPage() {
  return <Page title="ClusterPage">…</Page>;
}
