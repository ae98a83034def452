import { ok, refuse } from "./answers.mjs";
import { lookUp, matcher } from "./messages.mjs";
import { listeners, topics } from "./world.mjs";

let nextId = 1;
const panel = (id, title, topic, field, aggregate, more = {}) => ({
  id,
  title,
  topic,
  field,
  aggregate,
  filter: null,
  groupBy: null,
  top: 8,
  windowMs: 10_000,
  kind: "line",
  unit: "",
  ...more,
});

export const dashboards = [
  {
    id: "demo-invoices",
    title: "Invoices",
    builtIn: true,
    panels: [
      panel("invoices-rate", "Invoices a second", "invoices", null, "rate", { windowMs: 5_000 }),
      panel("invoices-revenue", "Revenue in a minute", "invoices", "value.TotalAmount", "sum", {
        kind: "number",
        windowMs: 60_000,
        unit: "EUR",
      }),
      panel("invoices-revenue-by-store", "Revenue by store", "invoices", "value.TotalAmount", "sum", {
        kind: "bars",
        groupBy: "value.StoreID",
        windowMs: 60_000,
        unit: "EUR",
      }),
      panel("invoices-top-products", "Top products", "invoices", null, "count", {
        kind: "bars",
        groupBy: "value.InvoiceLineItems[*].product",
        windowMs: 60_000,
      }),
      panel("invoices-basket", "Basket, 95 of 100 below", "invoices", "value.TotalAmount", "p95", {
        windowMs: 30_000,
        unit: "EUR",
      }),
      panel("loyalty-rewards", "Points earned", "loyalty-rewards", "value.points", "sum", {
        windowMs: 5_000,
      }),
    ],
  },
  {
    id: "demo-flights",
    title: "Flights",
    builtIn: true,
    panels: [
      panel("flights-departures", "Departures", "flights", null, "rate", { windowMs: 5_000 }),
      panel("flights-delay", "Delay at departure", "flights", "value.dep_delay", "avg", {
        windowMs: 30_000,
        unit: "min",
      }),
      panel("flights-by-airport", "By airport", "flights", null, "count", {
        kind: "bars",
        groupBy: "value.origin",
        windowMs: 60_000,
      }),
    ],
  },
  { id: "mine", title: "My panels", builtIn: false, panels: [] },
];
export const findPanel = (id) =>
  dashboards.flatMap((dashboard) => dashboard.panels).find((panel) => panel.id === id);

/** Panel → what it needs of the messages of its window. */
export class Meter {
  constructor(panel) {
    this.panel = panel;
    this.points = [];
    this.test = matcher({ filter: panel.filter });
    const topic = topics.get(panel.topic);
    for (const message of topic?.parts.flatMap((part) => part.messages) ?? []) this.take(topic, message);
    this.points.sort((a, b) => a.t - b.t);
    this.listener = (topic, message) => this.take(topic, message);
    listeners.add(this.listener);
  }
  close() {
    listeners.delete(this.listener);
  }
  take(topic, message) {
    const { panel } = this;
    if (topic.name !== panel.topic || !this.test(message)) return;
    const keys = panel.groupBy ? lookUp(message, panel.groupBy) : [null];
    const values = panel.field ? lookUp(message, panel.field).map(Number) : [1];
    for (const key of keys)
      for (const value of values)
        if (Number.isFinite(value)) this.points.push({ t: message.timestamp, key, value });
    // What no window or past reaches any more.
    const tooOld = message.timestamp - panel.windowMs - 60_000;
    let gone = 0;
    while (gone < this.points.length && this.points[gone].t < tooOld) gone++;
    if (gone > 1_000) this.points.splice(0, gone);
  }
  value(points) {
    const { aggregate, windowMs } = this.panel;
    const values = points.map((point) => point.value);
    const sum = values.reduce((total, value) => total + value, 0);
    if (aggregate === "count") return values.length;
    if (aggregate === "rate") return values.length / (windowMs / 1000);
    if (aggregate === "sum") return sum;
    if (aggregate === "distinct") return new Set(values).size;
    if (values.length === 0) return null;
    if (aggregate === "avg") return sum / values.length;
    if (aggregate === "last") return values.at(-1);
    const sorted = [...values].sort((a, b) => a - b);
    const share = { min: 0, max: 1, p50: 0.5, p95: 0.95, p99: 0.99 }[aggregate];
    return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
  }
  at(now) {
    return this.value(this.points.filter((point) => point.t > now - this.panel.windowMs && point.t <= now));
  }
  rows(now) {
    const groups = new Map();
    for (const point of this.points) {
      if (point.t <= now - this.panel.windowMs) continue;
      if (!groups.has(point.key)) groups.set(point.key, []);
      groups.get(point.key).push(point);
    }
    const rows = [...groups].map(([key, points]) => ({ key: String(key), value: this.value(points) }));
    return rows.sort((a, b) => b.value - a.value).slice(0, this.panel.top);
  }
}

function check(body) {
  if (!body.title)
    refuse(400, "INVALID_REQUEST", "could not keep the panel", "a panel needs a title", "title");
  if (!topics.has(body.topic))
    refuse(
      404,
      "UNKNOWN_TOPIC_OR_PARTITION",
      "could not keep the panel",
      `there is no topic "${body.topic}"`,
      "topic",
    );
  return body;
}
const dashboard = (id) =>
  dashboards.find((item) => item.id === id) ??
  refuse(404, "NOT_FOUND", "could not find the dashboard", `there is no dashboard "${id}"`);

export const panelRoutes = [
  ["GET", "/dashboards", ({ response }) => ok(response, { items: dashboards })],
  [
    "POST",
    "/dashboards",
    async ({ response, body }) => {
      const made = { id: `d${nextId++}`, title: JSON.parse(await body()).title, builtIn: false, panels: [] };
      dashboards.push(made);
      ok(response, made);
    },
  ],
  [
    "PUT",
    "/dashboards/{id}",
    async ({ response, names, body }) => {
      const found = dashboard(names[0]);
      const { title, order } = JSON.parse(await body());
      if (title) found.title = title;
      if (order) found.panels.sort((a, b) => order.indexOf(a.id) - order.indexOf(b.id));
      ok(response, found);
    },
  ],
  [
    "DELETE",
    "/dashboards/{id}",
    ({ response, names }) => {
      dashboards.splice(dashboards.indexOf(dashboard(names[0])), 1);
      ok(response, undefined);
    },
  ],
  [
    "POST",
    "/dashboards/{id}/panels",
    async ({ response, names, body }) => {
      const made = { ...check(JSON.parse(await body())), id: `p${nextId++}` };
      dashboard(names[0]).panels.push(made);
      ok(response, made);
    },
  ],
  [
    "PUT",
    "/panels/{id}",
    async ({ response, names, body }) => {
      const found =
        findPanel(names[0]) ??
        refuse(404, "NOT_FOUND", "could not change the panel", "it is not there any more");
      ok(response, Object.assign(found, check(JSON.parse(await body())), { id: names[0] }));
    },
  ],
  [
    "DELETE",
    "/panels/{id}",
    ({ response, names }) => {
      for (const item of dashboards) item.panels = item.panels.filter((panel) => panel.id !== names[0]);
      ok(response, undefined);
    },
  ],
];
