import type { TopicDetail } from "../../api/contract";
export function Messages(_: { topic: TopicDetail; query: Record<string, string>; setQuery: unknown }) {
  return null;
}
