import { ok, refuse } from "./answers.mjs";
import { find } from "./topics.mjs";
import { append } from "./world.mjs";

/** The simple part of the filter language: comparisons joined by && or ||. */
function compile(filter) {
  const terms = filter.split(/(&&|\|\|)/);
  const tests = [];
  let position = 0;
  for (const term of terms) {
    if (term === "&&" || term === "||") {
      tests.push(term);
    } else {
      const match = term
        .trim()
        .match(
          /^([\w.[\]*]+)\s*(==|!=|<=|>=|<|>|contains|startsWith)\s*("[^"]*"|'[^']*'|-?[\d.]+|true|false|null)$/,
        );
      if (!match) return { error: { message: `expected a comparison, found "${term.trim()}"`, position } };
      const [, path, op, literal] = match;
      const wanted = /^["']/.test(literal) ? literal.slice(1, -1) : JSON.parse(literal);
      tests.push((message) => lookUp(message, path).some((value) => compare(value, op, wanted)));
    }
    position += term.length;
  }
  return {
    test: (message) => {
      let result = tests[0](message);
      for (let index = 1; index < tests.length; index += 2) {
        result =
          tests[index] === "&&" ? result && tests[index + 1](message) : result || tests[index + 1](message);
      }
      return result;
    },
  };
}
export function lookUp(message, path) {
  if (path === "key") return [message.key?.text ?? null];
  if (["partition", "offset", "timestamp"].includes(path)) return [message[path]];
  if (path === "size") return [message.value?.sizeBytes ?? 0];
  if (path === "value" && message.value?.format !== "json") return [message.value?.text ?? null];
  if (path.startsWith("headers."))
    return message.headers
      .filter((header) => header.name === path.slice(8))
      .map((header) => header.value?.text);
  if (message.value?.format !== "json") return [null];
  let values = [JSON.parse(message.value.text)];
  for (const step of path.split(/\.|(?=\[)/).slice(1)) {
    const index = step.match(/^\[(\d+|\*)\]$/)?.[1];
    values = values.flatMap((value) =>
      index === "*" ? (Array.isArray(value) ? value : []) : [value?.[index ?? step] ?? null],
    );
  }
  return values;
}
function compare(value, op, wanted) {
  if (op === "contains") return typeof value === "string" && value.includes(wanted);
  if (op === "startsWith") return typeof value === "string" && value.startsWith(wanted);
  if (op === "==") return value === wanted;
  if (op === "!=") return value !== wanted;
  if (typeof value !== typeof wanted) return false;
  return { "<": value < wanted, "<=": value <= wanted, ">": value > wanted, ">=": value >= wanted }[op];
}

export function matcher({ q, key, header, filter, partitions }) {
  const compiled = filter ? compile(filter) : null;
  if (compiled?.error)
    refuse(
      400,
      "INVALID_FILTER",
      "could not read the filter",
      `${compiled.error.message}, at ${compiled.error.position}`,
      "filter",
    );
  const text = q?.toLowerCase();
  return (message) => {
    if (partitions && !partitions.includes(message.partition)) return false;
    if (
      text &&
      ![message.key, message.value, ...message.headers.map((item) => item.value)].some((part) =>
        part?.text?.toLowerCase().includes(text),
      )
    )
      return false;
    if (key && !message.key?.text?.includes(key)) return false;
    if (header) {
      const [name, value] = header.split("=");
      if (
        !message.headers.some(
          (item) => item.name === name && (value === undefined || item.value?.text === value),
        )
      )
        return false;
    }
    return compiled ? compiled.test(message) : true;
  };
}

function selected(topic, query) {
  const partitions = query.get("partitions")?.split(",").map(Number);
  const from = query.get("from") ?? "newest";
  let messages = topic.parts
    .flatMap((part) => part.messages)
    .filter((message) => !partitions || partitions.includes(message.partition));
  messages.sort((a, b) => a.timestamp - b.timestamp || a.partition - b.partition || a.offset - b.offset);
  if (from === "newest") messages.reverse();
  if (from === "offset")
    messages = messages.filter((message) => message.offset >= Number(query.get("offset")));
  if (from === "time")
    messages = messages.filter((message) => message.timestamp >= Number(query.get("time")));
  if (query.get("until"))
    messages = messages.filter((message) => message.timestamp <= Number(query.get("until")));
  const test = matcher({
    q: query.get("q"),
    key: query.get("key"),
    header: query.get("header"),
    filter: query.get("filter"),
  });
  return { messages, test };
}

const cut = (message, maxBytes) => {
  if (!message.value?.text || message.value.text.length <= maxBytes) return message;
  return {
    ...message,
    value: { ...message.value, text: message.value.text.slice(0, maxBytes), truncated: true },
  };
};

export const messageRoutes = [
  [
    "GET",
    "/topics/{topic}/messages",
    async ({ request, response, names, query }) => {
      const topic = find(names[0]);
      const { messages, test } = selected(topic, query);
      const limit = Number(query.get("limit") ?? 50);
      const started = Date.now();
      let isOpen = true;
      request.on("close", () => {
        isOpen = false;
      });
      response.setHeader("content-type", "application/x-ndjson");
      const skip = Number(query.get("cursor") ?? 0);
      let matched = 0;
      let scannedBytes = 0;
      let at = skip;
      const line = (event) => response.write(`${JSON.stringify(event)}\n`);
      const progress = () => ({
        scanned: at - skip,
        scannedBytes,
        matched,
        elapsedMs: Date.now() - started,
        remaining: messages.length - at,
      });
      // A slow word, so that tests can see progress and cancel.
      const pause = query.get("q") === "slowly" ? 40 : 0;
      for (; at < messages.length && matched < limit && isOpen; at++) {
        const message = messages[at];
        scannedBytes += message.value?.sizeBytes ?? 0;
        if (test(message)) {
          matched++;
          line({ type: "message", message: cut(message, Number(query.get("maxBytes") ?? 4096)) });
        }
        if (pause && at % 10 === 0) {
          line({ type: "progress", ...progress() });
          await new Promise((resolve) => setTimeout(resolve, pause));
        }
      }
      line({ type: "done", next: at < messages.length ? String(at) : null, ...progress() });
      response.end();
    },
  ],
  [
    "GET",
    "/topics/{topic}/messages/{partition}/{offset}",
    ({ response, names }) => {
      const message = find(names[0]).parts[Number(names[1])]?.messages.find(
        (message) => message.offset === Number(names[2]),
      );
      if (!message)
        refuse(
          404,
          "NOT_FOUND",
          `could not read ${names[0]}-${names[1]} at ${names[2]}`,
          "there is no message at this offset: it may have been deleted",
        );
      const whole = (part) =>
        part && { ...part, base64: part.base64 ?? Buffer.from(part.text).toString("base64") };
      ok(response, {
        ...message,
        key: whole(message.key),
        value: whole(message.value),
        headers: message.headers.map((item) => ({ ...item, value: whole(item.value) })),
      });
    },
  ],
  [
    "GET",
    "/topics/{topic}/histogram",
    ({ response, names, query }) => {
      const topic = find(names[0]);
      const times = topic.parts.flatMap((part) => part.messages.map((message) => message.timestamp));
      const fromMs = Number(query.get("fromMs") ?? (times.length ? Math.min(...times) : Date.now() - 60_000));
      const toMs = Number(query.get("toMs") ?? Math.max(...times, fromMs + 1_000));
      const buckets = Number(query.get("buckets") ?? 120);
      const bucketMs = Math.max(1, (toMs - fromMs) / buckets);
      const counts = new Array(buckets).fill(0);
      for (const time of times) {
        const bucket = Math.min(buckets - 1, Math.floor((time - fromMs) / bucketMs));
        if (time >= fromMs && time <= toMs) counts[bucket]++;
      }
      ok(response, { fromMs, toMs, bucketMs, counts });
    },
  ],
  [
    "POST",
    "/topics/{topic}/messages",
    async ({ response, names, body }) => {
      const topic = find(names[0]);
      const { messages } = JSON.parse(await body());
      const plain = (part) =>
        part?.text ?? (part?.base64 ? Buffer.from(part.base64, "base64").toString() : null);
      const items = messages.map((message) => {
        if (message.partition >= topic.parts.length)
          refuse(
            404,
            "UNKNOWN_TOPIC_OR_PARTITION",
            `could not produce to "${topic.name}"`,
            `there is no partition ${message.partition}`,
            "partition",
          );
        return append(topic, {
          ...message,
          key: plain(message.key),
          value: plain(message.value),
          headers: (message.headers ?? []).map((item) => ({ name: item.name, value: plain(item.value) })),
        });
      });
      ok(response, {
        items: items.map(({ partition, offset, timestamp }) => ({ partition, offset, timestamp })),
      });
    },
  ],
  [
    "GET",
    "/topics/{topic}/export",
    ({ response, names, query }) => {
      const { messages, test } = selected(find(names[0]), query);
      const isCsv = query.get("format") === "csv";
      response.setHeader("content-type", isCsv ? "text/csv" : "application/x-ndjson");
      response.setHeader(
        "content-disposition",
        `attachment; filename="${names[0]}.${isCsv ? "csv" : "jsonl"}"`,
      );
      const quote = (text) => `"${String(text ?? "").replaceAll('"', '""')}"`;
      if (isCsv) response.write("partition,offset,timestamp,key,value,headers\n");
      for (const message of messages.filter(test)) {
        const headers = Object.fromEntries(
          message.headers.map((item) => [item.name, item.value?.text ?? null]),
        );
        if (isCsv)
          response.write(
            `${message.partition},${message.offset},${message.timestamp},${quote(message.key?.text)},${quote(message.value?.text)},${quote(JSON.stringify(headers))}\n`,
          );
        else {
          const value =
            message.value?.format === "json"
              ? message.value.text
              : JSON.stringify(message.value?.text ?? null);
          response.write(
            `{"partition":${message.partition},"offset":${message.offset},"timestamp":${message.timestamp},"key":${JSON.stringify(message.key?.text ?? null)},"value":${value},"headers":${JSON.stringify(headers)}}\n`,
          );
        }
      }
      response.end();
    },
  ],
  [
    "POST",
    "/topics/{topic}/import",
    async ({ response, names, body }) => {
      const topic = find(names[0]);
      const text = await body();
      const errors = [];
      let produced = 0;
      text.split("\n").forEach((line, index) => {
        if (!line) return;
        try {
          const { key, value } = JSON.parse(line);
          append(topic, {
            key: key ?? null,
            value: typeof value === "string" ? value : JSON.stringify(value),
          });
          produced++;
        } catch (error) {
          errors.push({ line: index + 1, why: error.message });
        }
      });
      response.setHeader("content-type", "application/x-ndjson");
      response.write(
        `${JSON.stringify({ type: "progress", produced, failed: errors.length, readBytes: text.length })}\n`,
      );
      response.end(`${JSON.stringify({ type: "done", produced, failed: errors.length, errors })}\n`);
    },
  ],
  [
    "POST",
    "/filters/check",
    async ({ response, body }) => {
      const { error } = compile(JSON.parse(await body()).filter);
      ok(response, error ? { ok: false, ...error } : { ok: true });
    },
  ],
];
