// What the address asks for, and a search that runs: its messages, its progress, its end.
import { useCallback, useEffect, useRef, useState } from "react";
import type { Message, SearchEvent, SearchProgress, TailFilter } from "../../../api/contract";
import { Failure, lines, part, url } from "../../../api/http";
import type { Query } from "../../../router";

export const PAGE_SIZE = 50;

export type From = "newest" | "oldest" | "offset" | "time" | "live";

export interface Wanted {
  from: From;
  /** As parameters of a search. */
  params: Record<string, string>;
  tail: TailFilter;
  isFiltered: boolean;
}

export function wanted(query: Query): Wanted {
  const from =
    (["newest", "oldest", "offset", "time", "live"] as const).find((one) => one === query.from) ?? "newest";
  const params: Record<string, string> = {};
  for (const name of ["partitions", "q", "key", "header", "filter"] as const) {
    if (query[name]) params[name] = query[name];
  }
  if (from === "offset") params.offset = query.offset ?? "0";
  if (from === "time") params.time = query.time ?? "0";
  if (query.until) params.until = query.until;
  if (from !== "live") params.from = from;
  const tail: TailFilter = {};
  if (query.partitions) tail.partitions = query.partitions.split(",").map(Number);
  if (query.q) tail.q = query.q;
  if (query.key) tail.key = query.key;
  if (query.header) tail.header = query.header;
  if (query.filter) tail.filter = query.filter;
  return { from, params, tail, isFiltered: Boolean(query.q || query.key || query.header || query.filter) };
}

export interface Search {
  messages: Message[];
  progress: SearchProgress | null;
  isRunning: boolean;
  wasCancelled: boolean;
  /** Where to go on. */
  next: string | null;
  failure: unknown;
  cancel: () => void;
  more: () => void;
  again: () => void;
}

const NOTHING = {
  messages: [],
  progress: null,
  isRunning: false,
  wasCancelled: false,
  next: null,
  failure: null,
};

export function useSearch(topic: string, params: Record<string, string> | null): Search {
  const [state, setState] = useState<Omit<Search, "cancel" | "more" | "again">>(NOTHING);
  const [round, setRound] = useState(0);
  const running = useRef<AbortController | null>(null);
  const key = params && JSON.stringify(params);

  const run = useCallback(
    async (cursor: string | null) => {
      if (!key) return;
      running.current?.abort();
      const controller = new AbortController();
      running.current = controller;
      setState((before) => ({
        ...(cursor ? before : NOTHING),
        isRunning: true,
        wasCancelled: false,
        failure: null,
      }));
      const address = url(`/topics/${part(topic)}/messages`, {
        ...JSON.parse(key),
        limit: PAGE_SIZE,
        cursor,
      });
      // Many come at once: they are shown together.
      let arrived: Message[] = [];
      let progress: SearchProgress | null = null;
      let isScheduled = false;
      const show = () => {
        isScheduled = false;
        if (running.current !== controller) return;
        const batch = arrived;
        arrived = [];
        setState((before) => ({
          ...before,
          messages: batch.length ? [...before.messages, ...batch] : before.messages,
          progress: progress ?? before.progress,
        }));
      };
      const schedule = () => {
        if (!isScheduled) requestAnimationFrame(show);
        isScheduled = true;
      };
      try {
        await lines<SearchEvent>(address, { signal: controller.signal }, (event) => {
          if (event.type === "message") arrived.push(event.message);
          else if (event.type === "error") throw new Failure(200, event.error);
          else {
            progress = event;
            if (event.type === "done") setState((before) => ({ ...before, next: event.next }));
          }
          schedule();
        });
      } catch (failure) {
        if (!controller.signal.aborted) setState((before) => ({ ...before, failure }));
      }
      show();
      if (running.current === controller) setState((before) => ({ ...before, isRunning: false }));
    },
    [key, topic],
  );

  // biome-ignore lint/correctness/useExhaustiveDependencies: a new round asks again
  useEffect(() => {
    if (!key) {
      setState(NOTHING);
      return;
    }
    run(null);
    return () => running.current?.abort();
  }, [key, run, round]);

  return {
    ...state,
    cancel: () => {
      running.current?.abort();
      setState((before) => ({ ...before, isRunning: false, wasCancelled: true }));
    },
    more: () => state.next && run(state.next),
    again: () => setRound((count) => count + 1),
  };
}
