import { ok, page, refuse } from "./answers.mjs";
import { groupLag, groups, lagSeconds, rates, topics, trend } from "./world.mjs";

function row(group) {
  return {
    group: group.name,
    state: group.members.length ? "Stable" : "Empty",
    type: group.type,
    members: group.members.length,
    topics: group.topics.length,
    lag: groupLag(group),
    lagSeconds: lagSeconds(group),
    ...trend(group),
  };
}

/** Partitions go round to the members; those that are too many have none. */
function owner(group, partition) {
  return group.members.length ? group.members[partition % group.members.length] : null;
}

export function groupDetail(name) {
  const group =
    groups.get(name) ??
    refuse(404, "GROUP_ID_NOT_FOUND", `could not describe group "${name}"`, "there is no such group");
  const offsets = [];
  for (const [key, offset] of group.offsets) {
    const [topic, text] = key.split("\n");
    const part = topics.get(topic)?.parts[Number(text)];
    if (!part) continue;
    const lag = Math.max(0, part.end - offset.committed);
    const rate = (rates.get(topic)?.inMessages ?? 0) / topics.get(topic).parts.length;
    offsets.push({
      topic,
      partition: part.partition,
      committed: offset.committed,
      beginOffset: part.begin,
      endOffset: part.end,
      lag,
      lagSeconds: lag === 0 ? 0 : rate > 0 ? Math.round((lag / rate) * 10) / 10 : null,
      memberId: owner(group, part.partition)?.memberId ?? null,
      consumeRate: group.members.length ? rate * Math.min(1, group.speed) : 0,
      ...trend(group),
      sparkline: offset.spark,
    });
  }
  return {
    ...row(group),
    coordinator: 1,
    assignor: group.type === "consumer" ? "uniform" : "range",
    memberList: group.members.map((member) => {
      const partitions = offsets.filter((offset) => offset.memberId === member.memberId);
      const byTopic = group.topics.map((topic) => ({
        topic,
        partitions: partitions.filter((offset) => offset.topic === topic).map((offset) => offset.partition),
      }));
      return { ...member, assignments: byTopic.filter((assignment) => assignment.partitions.length > 0) };
    }),
    offsets,
  };
}

function preview(name, reset) {
  const detail = groupDetail(name);
  const wanted = detail.offsets.filter(
    (offset) =>
      !reset.topics ||
      reset.topics.some(
        (item) =>
          item.topic === offset.topic && (!item.partitions || item.partitions.includes(offset.partition)),
      ),
  );
  let reread = 0;
  let skipped = 0;
  const items = wanted.map((offset) => {
    const to = reset.to;
    const part = topics.get(offset.topic).parts[offset.partition];
    let target = offset.committed;
    if (to.kind === "earliest") target = offset.beginOffset;
    else if (to.kind === "latest") target = offset.endOffset;
    else if (to.kind === "offset") target = to.offset;
    else if (to.kind === "shift") target = offset.committed + to.by;
    else if (to.kind === "time")
      target = part.messages.find((message) => message.timestamp >= to.timeMs)?.offset ?? offset.endOffset;
    else if (to.kind === "group")
      target =
        groups.get(to.group)?.offsets.get(`${offset.topic}\n${offset.partition}`)?.committed ??
        offset.committed;
    else if (to.kind === "explicit")
      target =
        to.offsets.find((item) => item.topic === offset.topic && item.partition === offset.partition)
          ?.offset ?? offset.committed;
    const clamped = Math.max(offset.beginOffset, Math.min(offset.endOffset, target));
    reread += Math.max(0, offset.committed - clamped);
    skipped += Math.max(0, clamped - offset.committed);
    return {
      topic: offset.topic,
      partition: offset.partition,
      from: offset.committed,
      to: clamped,
      clamped: clamped !== target,
    };
  });
  return { items, reread, skipped, allowed: detail.memberList.length === 0 };
}

export const groupRoutes = [
  [
    "GET",
    "/groups",
    ({ response, query }) => {
      const wanted = (query.get("q") ?? "").toLowerCase();
      const rows = [...groups.values()].filter((group) => group.name.toLowerCase().includes(wanted)).map(row);
      ok(
        response,
        page(
          rows.filter((item) => !query.get("state") || item.state === query.get("state")),
          query,
          "-lag",
          (item) => item.group,
        ),
      );
    },
  ],
  ["GET", "/groups/{group}", ({ response, names }) => ok(response, groupDetail(names[0]))],
  [
    "GET",
    "/groups/{group}/history",
    ({ response, names }) => {
      const history = groups.get(names[0])?.history ?? [];
      ok(response, {
        t: history.map((point) => point.t),
        lag: history.map((point) => point.lag),
        lagSeconds: history.map((point) => point.lagSeconds),
      });
    },
  ],
  [
    "POST",
    "/groups/{group}/offsets/preview",
    async ({ response, names, body }) => ok(response, preview(names[0], JSON.parse(await body()))),
  ],
  [
    "POST",
    "/groups/{group}/offsets",
    async ({ response, names, body }) => {
      const result = preview(names[0], JSON.parse(await body()));
      if (!result.allowed)
        refuse(
          409,
          "NON_EMPTY_GROUP",
          `could not reset the offsets of "${names[0]}"`,
          "the group still has members",
        );
      for (const item of result.items)
        groups.get(names[0]).offsets.get(`${item.topic}\n${item.partition}`).committed = item.to;
      ok(response, result);
    },
  ],
  [
    "DELETE",
    "/groups/{group}/offsets",
    ({ response, names, query }) => {
      const group = groups.get(names[0]);
      for (const key of [...group.offsets.keys()])
        if (key.startsWith(`${query.get("topic")}\n`)) group.offsets.delete(key);
      ok(response, undefined);
    },
  ],
  [
    "DELETE",
    "/groups/{group}",
    ({ response, names }) => {
      if (groups.get(names[0])?.members.length)
        refuse(409, "NON_EMPTY_GROUP", `could not delete group "${names[0]}"`, "the group still has members");
      groups.delete(names[0]);
      ok(response, undefined);
    },
  ],
];
