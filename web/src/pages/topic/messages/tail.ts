// The newest messages as they come, bounded, and calm while paused.
import { useEffect, useRef, useState } from "react";
import type { ApiError, Message, TailFilter, TailTick } from "../../../api/contract";
import { useStream } from "../../../api/live";
import { paint } from "../../../charts/frames";

/** How many are kept. */
export const TAIL_MAX = 1_000;
const PER_SECOND_MAX = 200;
const VALUE_BYTES_MAX = 2_048;

export interface Tail {
  /** Newest first. */
  messages: Message[];
  tick: Omit<TailTick, "messages"> | null;
  /** Matches that came while paused. */
  missed: number;
  error: ApiError | null;
}

export function useTail(topic: string | null, filter: TailFilter, isPaused: boolean): Tail {
  const [tail, setTail] = useState<Tail>({ messages: [], tick: null, missed: 0, error: null });
  const state = useRef({
    waiting: [] as Message[],
    tick: null as TailTick | null,
    matchedAtPause: 0,
    isChanged: false,
  });
  const paused = useRef(isPaused);
  paused.current = isPaused;

  const key = JSON.stringify([topic, filter]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: another topic or filter begins anew
  useEffect(() => {
    state.current = { waiting: [], tick: null, matchedAtPause: 0, isChanged: true };
    setTail({ messages: [], tick: null, missed: 0, error: null });
  }, [key]);

  useEffect(() => {
    if (isPaused) state.current.matchedAtPause = state.current.tick?.matched ?? 0;
    state.current.isChanged = true;
  }, [isPaused]);

  useStream<TailTick>(
    topic === null
      ? null
      : { kind: "tail", topic, maxPerSecond: PER_SECOND_MAX, maxBytes: VALUE_BYTES_MAX, ...filter },
    (tick) => {
      const current = state.current;
      current.tick = tick;
      current.isChanged = true;
      if (paused.current) return;
      current.waiting.push(...tick.messages);
      if (current.waiting.length > TAIL_MAX) current.waiting.splice(0, current.waiting.length - TAIL_MAX);
    },
    (error) => setTail((before) => ({ ...before, error })),
  );

  // At most once a frame, however often it comes.
  useEffect(() => {
    if (topic === null) return;
    return paint(() => {
      const current = state.current;
      if (!current.isChanged) return;
      current.isChanged = false;
      const arrived = current.waiting.reverse();
      current.waiting = [];
      setTail((before) => ({
        messages: arrived.length ? [...arrived, ...before.messages].slice(0, TAIL_MAX) : before.messages,
        tick: current.tick,
        missed: paused.current ? (current.tick?.matched ?? 0) - current.matchedAtPause : 0,
        error: before.error,
      }));
    });
  }, [topic]);
  return tail;
}
