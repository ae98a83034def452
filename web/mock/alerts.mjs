import { ok, page, refuse } from "./answers.mjs";
import { findPanel, Meter } from "./panels.mjs";
import { groupLag, groups, lagSeconds, topics } from "./world.mjs";

let nextId = 1;
const rules = new Map();
const events = [];
const meters = new Map();
export const alertListeners = new Set();

function measured(source) {
  if (source.kind === "lag") {
    const group = groups.get(source.group);
    return group ? (source.unit === "messages" ? groupLag(group) : lagSeconds(group)) : null;
  }
  if (source.kind === "disk") return 25.6;
  if (source.kind === "noData") {
    const newest = Math.max(
      0,
      ...(topics.get(source.topic)?.parts.map((part) => part.messages.at(-1)?.timestamp ?? 0) ?? []),
    );
    return newest ? (Date.now() - newest) / 1000 : null;
  }
  const panel = findPanel(source.panelId);
  if (!panel) return null;
  if (!meters.has(panel.id)) meters.set(panel.id, new Meter(panel));
  return meters.get(panel.id).at(Date.now());
}
const holds = (value, op, threshold) =>
  value !== null &&
  { ">": value > threshold, ">=": value >= threshold, "<": value < threshold, "<=": value <= threshold }[op];

function make(body, id = `r${nextId++}`) {
  if (!body.name) refuse(400, "INVALID_REQUEST", "could not keep the rule", "a rule needs a name", "name");
  const rule = {
    state: "ok",
    since: null,
    value: null,
    silencedUntil: null,
    deliveryError: null,
    ...rules.get(id),
    ...body,
    id,
  };
  rules.set(id, rule);
  return rule;
}

export const firingCount = () => [...rules.values()].filter((rule) => rule.state === "firing").length;
export const allRules = () => [...rules.values()];

export function tickAlerts() {
  let isChanged = false;
  for (const rule of rules.values()) {
    const now = Date.now();
    rule.value = measured(rule.source);
    const before = rule.state;
    if (!rule.enabled) rule.state = "disabled";
    else if (rule.value === null) rule.state = "unknown";
    else if (!holds(rule.value, rule.op, rule.threshold)) rule.state = "ok";
    else if (before !== "firing") {
      if (before !== "pending") rule.since = now;
      rule.state = now - rule.since >= rule.forMs ? "firing" : "pending";
    }
    if (rule.state === before) continue;
    isChanged = true;
    rule.since = rule.state === "pending" || rule.state === "firing" ? (rule.since ?? now) : now;
    if (rule.state === "firing")
      events.unshift({
        id: `e${nextId++}`,
        ruleId: rule.id,
        ruleName: rule.name,
        severity: rule.severity,
        from: now,
        to: null,
        peak: rule.value,
        threshold: rule.threshold,
      });
    if (before === "firing")
      Object.assign(events.find((event) => event.ruleId === rule.id && event.to === null) ?? {}, { to: now });
  }
  if (isChanged) for (const listener of alertListeners) listener();
}

make({
  name: "Finance falls behind",
  enabled: true,
  source: { kind: "lag", group: "finance", unit: "seconds" },
  op: ">",
  threshold: 20,
  forMs: 5_000,
  severity: "warning",
  targets: [{ kind: "console" }],
});
make({
  name: "Disk nearly full",
  enabled: true,
  source: { kind: "disk" },
  op: ">",
  threshold: 90,
  forMs: 60_000,
  severity: "critical",
  targets: [{ kind: "console" }, { kind: "topic", topic: "alerts" }],
});
make({
  name: "No flights",
  enabled: true,
  source: { kind: "noData", topic: "flights" },
  op: ">",
  threshold: 60,
  forMs: 0,
  severity: "info",
  targets: [{ kind: "console" }],
});
events.push({
  id: "e0",
  ruleId: "r1",
  ruleName: "Finance falls behind",
  severity: "warning",
  from: Date.now() - 7_200_000,
  to: Date.now() - 6_900_000,
  peak: 48,
  threshold: 20,
});

export const alertRoutes = [
  ["GET", "/alerts/rules", ({ response }) => ok(response, { items: allRules() })],
  ["POST", "/alerts/rules", async ({ response, body }) => ok(response, make(JSON.parse(await body())))],
  [
    "PUT",
    "/alerts/rules/{id}",
    async ({ response, names, body }) => ok(response, make(JSON.parse(await body()), names[0])),
  ],
  [
    "DELETE",
    "/alerts/rules/{id}",
    ({ response, names }) => {
      rules.delete(names[0]);
      for (const listener of alertListeners) listener();
      ok(response, undefined);
    },
  ],
  [
    "POST",
    "/alerts/rules/{id}/silence",
    async ({ response, names, body }) => {
      const rule =
        rules.get(names[0]) ??
        refuse(404, "NOT_FOUND", "could not silence the rule", "it is not there any more");
      rule.silencedUntil = JSON.parse(await body()).untilMs;
      for (const listener of alertListeners) listener();
      ok(response, rule);
    },
  ],
  [
    "POST",
    "/alerts/preview",
    async ({ response, body, query }) => {
      const rule = JSON.parse(await body());
      const windowMs = Number(query.get("windowMs") ?? 3_600_000);
      const knownMs = Math.min(windowMs, 900_000);
      const now = Date.now();
      const base = measured(rule.source) ?? 0;
      const t = Array.from({ length: 200 }, (_, index) => now - knownMs + (index * knownMs) / 199);
      const v = t.map((time) => Math.max(0, base * (0.8 + 0.5 * Math.sin(time / 40_000))));
      const firings = [];
      t.forEach((time, index) => {
        const isFiring = holds(v[index], rule.op, rule.threshold);
        const last = firings.at(-1);
        if (isFiring && (!last || last.to !== null)) firings.push({ from: time, to: null });
        else if (!isFiring && last && last.to === null) last.to = time;
      });
      ok(response, {
        t,
        v,
        firings: firings.filter((firing) => (firing.to ?? now) - firing.from >= rule.forMs),
        knownMs,
      });
    },
  ],
  [
    "GET",
    "/alerts/history",
    ({ response, query }) =>
      ok(
        response,
        page([...events], query, "-from", (event) => event.id),
      ),
  ],
];
