// What is shown when a page cannot be drawn.
import { FailureCard } from "./failure";

export function Crash(props: { error: unknown; reset?: () => void }) {
  return <FailureCard failure={props.error} retry={() => location.reload()} />;
}
