// The one WebSocket of the page: it multiplexes subscriptions and comes back by itself.
import { useEffect, useRef, useState, useSyncExternalStore } from "react";
import type { ApiError, ClientFrame, ServerFrame, StreamRequest } from "./contract";

const PING_MS = 10_000;
const DEAD_MS = 25_000;
const BACKOFF_MIN_MS = 500;
const BACKOFF_MAX_MS = 10_000;

export interface LiveState {
  status: "connecting" | "live" | "lost";
  /** When the last frame came. */
  lastAt: number;
  /** When the next attempt is made. */
  retryAt: number | null;
  /** Of the server's process: another one means that lists may be old. */
  bootId: string | null;
}

interface Subscription {
  stream: StreamRequest;
  onData: (data: never) => void;
  onError?: (error: ApiError) => void;
  onEnd?: () => void;
}

class Live {
  state: LiveState = { status: "connecting", lastAt: Date.now(), retryAt: null, bootId: null };
  /** Server's clock minus ours. */
  clockOffsetMs = 0;
  private socket: WebSocket | null = null;
  private subscriptions = new Map<string, Subscription>();
  private listeners = new Set<() => void>();
  private nextId = 1;
  private backoffMs = BACKOFF_MIN_MS;
  private timer: ReturnType<typeof setTimeout> | null = null;
  private pings: ReturnType<typeof setInterval> | null = null;
  private pingAt = 0;
  private lastFrameAt = 0;

  listen = (listener: () => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  /** The server's time. */
  now(): number {
    return Date.now() + this.clockOffsetMs;
  }

  start() {
    if (this.socket || this.timer) return;
    this.connect();
    window.addEventListener("online", () => this.retry());
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.retry();
    });
  }

  /** Tries at once, if there is no connection. */
  retry() {
    if (this.state.status === "lost" && this.timer) {
      clearTimeout(this.timer);
      this.timer = null;
      this.connect();
    }
  }

  subscribe(subscription: Subscription): () => void {
    const id = `s${this.nextId++}`;
    this.subscriptions.set(id, subscription);
    this.send({ op: "subscribe", id, stream: subscription.stream });
    return () => {
      this.subscriptions.delete(id);
      this.send({ op: "unsubscribe", id });
    };
  }

  private send(frame: ClientFrame) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(frame));
  }

  private set(change: Partial<LiveState>) {
    this.state = { ...this.state, ...change };
    for (const listener of this.listeners) listener();
  }

  private connect() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/api/live`);
    this.socket = socket;
    this.lastFrameAt = Date.now();
    socket.onopen = () => {
      for (const [id, { stream }] of this.subscriptions) this.send({ op: "subscribe", id, stream });
      this.ping();
    };
    socket.onmessage = (event) => this.receive(JSON.parse(event.data));
    socket.onclose = () => this.lost(socket);
    this.pings = setInterval(() => {
      if (Date.now() - this.lastFrameAt > DEAD_MS) this.lost(socket);
      else this.ping();
    }, PING_MS);
  }

  private ping() {
    this.pingAt = Date.now();
    this.send({ op: "ping" });
  }

  private lost(socket: WebSocket) {
    if (this.socket !== socket) return;
    this.socket = null;
    socket.close();
    if (this.pings) clearInterval(this.pings);
    // Not all tabs at the same moment.
    const waitMs = this.backoffMs * (0.75 + Math.random() * 0.5);
    this.backoffMs = Math.min(this.backoffMs * 2, BACKOFF_MAX_MS);
    this.timer = setTimeout(() => {
      this.timer = null;
      this.connect();
    }, waitMs);
    this.set({ status: "lost", lastAt: this.lastFrameAt, retryAt: Date.now() + waitMs });
  }

  private receive(frame: ServerFrame) {
    this.lastFrameAt = Date.now();
    switch (frame.type) {
      case "hello":
        this.backoffMs = BACKOFF_MIN_MS;
        this.clockOffsetMs = frame.now - Date.now();
        this.set({ status: "live", lastAt: Date.now(), retryAt: null, bootId: frame.bootId });
        break;
      case "pong":
        this.clockOffsetMs = frame.now - (Date.now() + this.pingAt) / 2;
        break;
      case "data":
        this.subscriptions.get(frame.id)?.onData(frame.data as never);
        break;
      case "error":
        this.subscriptions.get(frame.id)?.onError?.(frame.error);
        break;
      case "end":
        this.subscriptions.get(frame.id)?.onEnd?.();
        break;
    }
  }
}

export const live = new Live();

export function useLiveState(): LiveState {
  return useSyncExternalStore(live.listen, () => live.state);
}

/** Subscribes while the component is there; `null` for nothing. The request is compared by content. */
export function useStream<T>(
  stream: StreamRequest | null,
  onData: (data: T) => void,
  onError?: (error: ApiError) => void,
) {
  const handlers = useRef({ onData, onError });
  handlers.current = { onData, onError };
  const key = stream && JSON.stringify(stream);
  useEffect(() => {
    if (!key) return;
    return live.subscribe({
      stream: JSON.parse(key),
      onData: (data) => handlers.current.onData(data as T),
      onError: (error) => handlers.current.onError?.(error),
    });
  }, [key]);
}

/** The newest data of a stream. */
export function useStreamed<T>(stream: StreamRequest | null): T | null {
  const [data, setData] = useState<{ key: string; value: T } | null>(null);
  const key = JSON.stringify(stream);
  useStream<T>(stream, (value) => setData({ key, value }));
  return data?.key === key ? data.value : null;
}
