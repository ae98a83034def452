import { alertListeners, allRules } from "./alerts.mjs";
import { apiError } from "./answers.mjs";
import { groupDetail } from "./groups.mjs";
import { matcher } from "./messages.mjs";
import { overview } from "./overview.mjs";
import { findPanel, Meter } from "./panels.mjs";
import { topicRow } from "./topics.mjs";
import { append, bootId, listeners, topics } from "./world.mjs";

/** 50,000 a second, and not all at once after a pause. */
const HOSE_PER_MS = 50;
const HOSE_MAX = 20_000;

export function openLive(client) {
  const send = (frame) => client.readyState === 1 && client.send(JSON.stringify(frame));
  const stops = new Map();
  send({ type: "hello", version: "0.1.0", now: Date.now(), bootId });
  client.on("message", (text) => {
    const frame = JSON.parse(text);
    if (frame.op === "ping") send({ type: "pong", now: Date.now() });
    if (frame.op === "unsubscribe") {
      stops.get(frame.id)?.();
      stops.delete(frame.id);
    }
    if (frame.op === "subscribe") {
      const data = (content) => send({ type: "data", id: frame.id, data: content });
      try {
        stops.set(frame.id, STREAMS[frame.stream.kind](frame.stream, data));
      } catch (error) {
        send({
          type: "error",
          id: frame.id,
          error: apiError(
            error.code ?? "INTERNAL",
            error.what ?? "could not subscribe",
            error.why ?? String(error),
            error.field,
          ),
        });
      }
    }
  });
  client.on("close", () => {
    for (const stop of stops.values()) stop();
  });
}

function each(ms, run) {
  run();
  const timer = setInterval(run, ms);
  return () => clearInterval(timer);
}

const STREAMS = {
  overview: (_, data) => each(1_000, () => data(overview())),
  topics: ({ names }, data) =>
    each(1_000, () => {
      const rows = {};
      for (const name of names) {
        const topic = topics.get(name);
        if (!topic) continue;
        const { inMessages, inBytes, messages, sizeBytes } = topicRow(topic);
        rows[name] = { inMessages, inBytes, messages, sizeBytes };
      }
      data({ t: Date.now(), topics: rows });
    }),
  group: ({ group }, data) => {
    groupDetail(group);
    return each(1_000, () => {
      try {
        data(groupDetail(group));
      } catch {
        // Deleted meanwhile.
      }
    });
  },
  tail: (stream, data) => {
    const test = matcher(stream);
    let seen = 0;
    let matched = 0;
    let shown = 0;
    let waiting = [];
    let last = { t: Date.now(), seen: 0 };
    let seenRate = 0;
    const listener = (topic, message) => {
      if (topic.name !== stream.topic) return;
      seen++;
      if (!test(message)) return;
      matched++;
      waiting.push(message);
    };
    listeners.add(listener);
    // The firehose runs only while somebody watches it.
    let poured = Date.now();
    const hose =
      stream.topic === "firehose"
        ? setInterval(() => {
            const now = Date.now();
            pour(Math.min(HOSE_PER_MS * (now - poured), HOSE_MAX));
            poured = now;
          }, 50)
        : null;
    const stop = each(100, () => {
      const room = Math.max(1, Math.ceil(stream.maxPerSecond / 10));
      const stride = Math.max(1, waiting.length / room);
      const messages = [];
      for (let at = 0; at < waiting.length; at += stride) messages.push(waiting[Math.floor(at)]);
      waiting = [];
      shown += messages.length;
      const now = Date.now();
      if (now - last.t >= 1000) {
        seenRate = ((seen - last.seen) / (now - last.t)) * 1000;
        last = { t: now, seen };
      }
      data({ t: now, messages, seen, matched, shown, seenRate });
    });
    return () => {
      stop();
      clearInterval(hose);
      listeners.delete(listener);
    };
  },
  panel: ({ panelId, historyMs }, data) => meter(findPanel(panelId), historyMs, data),
  panelPreview: ({ panel, historyMs }, data) => meter(panel, historyMs, data),
  alerts: (_, data) => {
    const tell = () => data({ rules: allRules() });
    tell();
    alertListeners.add(tell);
    return () => alertListeners.delete(tell);
  },
};

function pour(count) {
  const topic = topics.get("firehose");
  for (let index = 0; index < count; index++)
    append(topic, {
      partition: index % topic.parts.length,
      key: `k${index % 100}`,
      value: `{"n":${topic.counter},"load":${(index * 7) % 100}}`,
    });
}

function meter(panel, historyMs, data) {
  if (!panel)
    throw Object.assign(new Error("no such panel"), {
      code: "NOT_FOUND",
      what: "could not draw the panel",
      why: "it is not there any more",
    });
  const meter = new Meter(panel);
  const now = Date.now();
  const t = [];
  const stepMs = Math.max(250, historyMs / 240);
  for (let at = now - historyMs; at <= now; at += stepMs)
    if (at > (meter.points[0]?.t ?? now) + panel.windowMs) t.push(at);
  data({ reset: true, t, v: t.map((at) => meter.at(at)), rows: panel.groupBy ? meter.rows(now) : null });
  const stop = each(250, () => {
    const at = Date.now();
    data({ reset: false, t: [at], v: [meter.at(at)], rows: panel.groupBy ? meter.rows(at) : null });
  });
  return () => {
    stop();
    meter.close();
  };
}
