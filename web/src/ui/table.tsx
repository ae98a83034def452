// A table whose rows can be walked by keyboard, and whose order and pages are the server's.
import { Pagination, Table, VisuallyHidden } from "@mantine/core";
import { type KeyboardEvent, type ReactNode, useEffect, useRef } from "react";
import { useLanguage } from "../i18n";
import { IconChevronDown } from "./icons";

export interface Column<Row> {
  key: string;
  label: string;
  render: (row: Row) => ReactNode;
  /** Sorted by the server under this name. */
  sort?: string;
  right?: boolean;
  width?: number | string;
  /** The label is for screen readers alone. */
  hideLabel?: boolean;
}

export function DataTable<Row>(props: {
  label: string;
  columns: Column<Row>[];
  rows: Row[];
  rowKey: (row: Row) => string;
  /** `name` or `-name`. */
  sort?: string;
  onSort?: (sort: string) => void;
  /** Position of the first row in the whole, and how many there are. */
  first?: number;
  total?: number;
}) {
  const body = useRef<HTMLTableSectionElement>(null);
  const isFilled = props.rows.length > 0;
  // When the first rows stood there, for whoever measures.
  useEffect(() => {
    if (isFilled) performance.mark("afluente:rows");
  }, [isFilled]);
  const walk = (event: KeyboardEvent) => {
    const delta = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1 }[event.key];
    if (!delta || (event.target as HTMLElement).closest("input, textarea, select")) return;
    const links = [...(body.current?.querySelectorAll<HTMLElement>("[data-row-link]") ?? [])];
    const row = (event.target as HTMLElement).closest("tr");
    const at = links.findIndex((link) => row?.contains(link));
    links[Math.max(0, Math.min(links.length - 1, at + delta))]?.focus();
    event.preventDefault();
  };
  return (
    <div className="table-wrap">
      <Table aria-label={props.label} aria-rowcount={props.total === undefined ? undefined : props.total + 1}>
        <Table.Thead>
          <Table.Tr>
            {props.columns.map((column) => {
              const isSorted =
                column.sort && (props.sort === column.sort || props.sort === `-${column.sort}`);
              const isDown = props.sort?.startsWith("-");
              return (
                <Table.Th
                  key={column.key}
                  className={column.right ? "right" : undefined}
                  w={column.width}
                  aria-sort={isSorted ? (isDown ? "descending" : "ascending") : undefined}
                >
                  {column.hideLabel ? (
                    <VisuallyHidden>{column.label}</VisuallyHidden>
                  ) : column.sort && props.onSort ? (
                    <button
                      type="button"
                      className="sort"
                      onClick={() => {
                        // Figures are wanted largest first, names from A.
                        const first = column.right ? `-${column.sort}` : column.sort!;
                        const second = column.right ? column.sort! : `-${column.sort}`;
                        props.onSort?.(props.sort === first ? second : first);
                      }}
                    >
                      {column.label}
                      {isSorted && (
                        <IconChevronDown
                          size={13}
                          aria-hidden="true"
                          style={isDown ? undefined : { transform: "rotate(180deg)" }}
                        />
                      )}
                    </button>
                  ) : (
                    column.label
                  )}
                </Table.Th>
              );
            })}
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody ref={body} onKeyDown={walk}>
          {props.rows.map((row, index) => (
            <Table.Tr
              key={props.rowKey(row)}
              aria-rowindex={props.total === undefined ? undefined : (props.first ?? 0) + index + 2}
            >
              {props.columns.map((column) => (
                <Table.Td key={column.key} className={column.right ? "right" : undefined}>
                  {column.render(row)}
                </Table.Td>
              ))}
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </div>
  );
}

export function Pager(props: { page: number; size: number; total: number; onPage: (page: number) => void }) {
  const { t, number } = useLanguage();
  const pages = Math.max(1, Math.ceil(props.total / props.size));
  const first = (props.page - 1) * props.size + 1;
  const last = Math.min(props.total, props.page * props.size);
  if (props.total === 0) return null;
  return (
    <div
      style={{
        display: "flex",
        alignItems: "center",
        justifyContent: "space-between",
        flexWrap: "wrap",
        gap: 10,
        padding: "10px 18px",
        borderTop: "1px solid var(--line)",
        fontSize: "0.8125rem",
        color: "var(--mantine-color-dimmed)",
      }}
    >
      <span className="numeric" aria-live="polite">
        {t("table.range", { first: number(first), last: number(last), total: number(props.total) })}
      </span>
      {pages > 1 && (
        <nav aria-label={t("table.pages")}>
          <Pagination
            size="sm"
            total={pages}
            value={props.page}
            onChange={props.onPage}
            getItemProps={(page) => ({ "aria-label": t("table.page", { n: page }) })}
            getControlProps={(control) => ({
              "aria-label": t(control === "previous" ? "table.previous" : "table.next"),
            })}
          />
        </nav>
      )}
    </div>
  );
}
