// A drawing of who reads what: members on the left, partitions on the right, a line for each assignment.
import { useState } from "react";
import type { GroupDetail, GroupOffset } from "../../api/contract";
import { useLanguage } from "../../i18n";
import { Pill } from "../../ui/pieces";

const MEMBER_PX = 58;
const PARTITION_PX = 30;
const TOPIC_PX = 30;
const COLORS = ["--series-1", "--series-2", "--series-3", "--series-4", "--series-5"];
/** More partitions than this are told by number, not drawn. */
const DRAWN_MAX = 120;

export function Assignment(props: { group: GroupDetail }) {
  const { t, count } = useLanguage();
  const { memberList, offsets } = props.group;
  const [hovered, setHovered] = useState<string | null>(null);

  const colorOf = new Map(
    memberList.map((member, index) => [member.memberId, `var(${COLORS[index % COLORS.length]})`]),
  );
  const drawn = offsets.slice(0, DRAWN_MAX);
  const topics = [...new Set(drawn.map((offset) => offset.topic))];
  const places = new Map<string, number>();
  let rightPx = 0;
  const blocks = topics.map((topic) => {
    const start = rightPx;
    rightPx += TOPIC_PX;
    const rows = drawn.filter((offset) => offset.topic === topic);
    for (const row of rows) {
      places.set(`${row.topic}-${row.partition}`, rightPx + PARTITION_PX / 2);
      rightPx += PARTITION_PX;
    }
    return { topic, start, rows };
  });
  const leftPx = memberList.length * MEMBER_PX;
  const height = Math.max(rightPx, leftPx);
  const memberStep = Math.max(MEMBER_PX, Math.min(height / Math.max(1, memberList.length), MEMBER_PX * 2));
  const partitionTop = Math.max(0, (height - rightPx) / 2);
  const memberTop = (height - memberStep * memberList.length) / 2;
  const memberY = new Map(
    memberList.map((member, index) => [
      member.memberId,
      Math.max(0, memberTop) + index * memberStep + memberStep / 2,
    ]),
  );
  const maxLag = Math.max(1, ...drawn.map((offset) => offset.lag ?? 0));
  const isFaint = (memberId: string | null) => hovered !== null && hovered !== memberId;
  const partitionsOf = (memberId: string) => offsets.filter((offset) => offset.memberId === memberId).length;
  return (
    <>
      <div className="assignment" style={{ height }}>
        <ul className="members" aria-label={t("groups.members")}>
          {memberList.map((member) => {
            const own = partitionsOf(member.memberId);
            return (
              <li
                key={member.memberId}
                style={{
                  top: memberY.get(member.memberId)! - 23,
                  opacity: isFaint(member.memberId) ? 0.4 : 1,
                }}
                onMouseEnter={() => setHovered(member.memberId)}
                onMouseLeave={() => setHovered(null)}
              >
                <i style={{ background: own ? colorOf.get(member.memberId) : "var(--line)" }} />
                <span className="who" title={member.memberId}>
                  <strong>{member.clientId}</strong>
                  <small>
                    {member.instanceId ?? member.memberId.slice(0, 36)} · {member.host.replace(/^\//, "")}
                  </small>
                </span>
                {own === 0 ? <Pill tone="warn">{t("assignment.idle")}</Pill> : <Pill tone="calm">{own}</Pill>}
              </li>
            );
          })}
        </ul>
        <svg
          width="100%"
          height={height}
          preserveAspectRatio="none"
          viewBox={`0 0 100 ${height}`}
          aria-hidden="true"
        >
          {drawn.map((offset) => {
            if (offset.memberId === null || !memberY.has(offset.memberId)) return null;
            const from = memberY.get(offset.memberId)!;
            const to = partitionTop + places.get(`${offset.topic}-${offset.partition}`)!;
            return (
              <path
                key={`${offset.topic}-${offset.partition}`}
                d={`M0 ${from} C50 ${from} 50 ${to} 100 ${to}`}
                fill="none"
                stroke={colorOf.get(offset.memberId)}
                strokeWidth={hovered === offset.memberId ? 2.5 : 1.6}
                opacity={isFaint(offset.memberId) ? 0.12 : 0.75}
                vectorEffect="non-scaling-stroke"
              />
            );
          })}
        </svg>
        <div className="partitions" style={{ paddingTop: partitionTop }}>
          {blocks.map(({ topic, rows }) => (
            <div key={topic}>
              <div className="topic" style={{ height: TOPIC_PX }}>
                {topic}
              </div>
              <ul aria-label={topic}>
                {rows.map((row) => (
                  <Row
                    key={row.partition}
                    row={row}
                    color={colorOf.get(row.memberId ?? "")}
                    maxLag={maxLag}
                    isFaint={isFaint(row.memberId)}
                  />
                ))}
              </ul>
            </div>
          ))}
        </div>
      </div>
      {offsets.length > DRAWN_MAX && (
        <p className="doc">
          {t("assignment.more", { n: offsets.length - DRAWN_MAX, text: count(offsets.length - DRAWN_MAX) })}
        </p>
      )}
    </>
  );
}

function Row(props: { row: GroupOffset; color: string | undefined; maxLag: number; isFaint: boolean }) {
  const { t, count } = useLanguage();
  const { row, color } = props;
  return (
    <li style={{ height: PARTITION_PX, opacity: props.isFaint ? 0.4 : 1 }}>
      <i style={{ background: color ?? "var(--line)" }} />
      <span className="number">{row.partition}</span>
      <span className="lagbar" aria-hidden="true">
        <b
          style={{ width: `${((row.lag ?? 0) / props.maxLag) * 100}%`, background: color ?? "var(--line)" }}
        />
      </span>
      <span className="lag">
        {row.memberId === null && `${t("group.nobody")} · `}
        {t("assignment.lag", { n: count(row.lag) })}
      </span>
    </li>
  );
}
