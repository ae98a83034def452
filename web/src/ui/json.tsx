// JSON as it was written: numbers of 64 bits keep their digits, keys their order. A leaf can be chosen.
import { type ReactNode, useState } from "react";

export type Json =
  | { kind: "object"; entries: [string, Json][] }
  | { kind: "array"; items: Json[] }
  /** `text` as it stands, strings with their quotes. */
  | { kind: "string" | "number" | "word"; text: string };

const TOKEN = /\s*(?:([{}[\],:])|("(?:[^"\\]|\\.)*")|(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|(true|false|null))/y;
const DEPTH_MAX = 200;

/** Null where it is not JSON, as where it was cut off. */
export function parseJson(text: string): Json | null {
  TOKEN.lastIndex = 0;
  let token: RegExpExecArray | null;
  const next = () => {
    token = TOKEN.exec(text);
    if (!token) throw new SyntaxError("not JSON");
    return token;
  };
  const value = (depth: number): Json => {
    const [, sign, string, number, word] = token!;
    if (string !== undefined) return { kind: "string", text: string };
    if (number !== undefined) return { kind: "number", text: number };
    if (word !== undefined) return { kind: "word", text: word };
    if (depth > DEPTH_MAX) throw new SyntaxError("too deep");
    if (sign === "[") {
      const items: Json[] = [];
      if (next()[1] === "]") return { kind: "array", items };
      for (;;) {
        items.push(value(depth + 1));
        const after = next()[1];
        if (after === "]") return { kind: "array", items };
        if (after !== ",") throw new SyntaxError("not JSON");
        next();
      }
    }
    if (sign === "{") {
      const entries: [string, Json][] = [];
      if (next()[1] === "}") return { kind: "object", entries };
      for (;;) {
        const key = token![2];
        if (key === undefined || next()[1] !== ":") throw new SyntaxError("not JSON");
        next();
        entries.push([JSON.parse(key), value(depth + 1)]);
        const after = next()[1];
        if (after === "}") return { kind: "object", entries };
        if (after !== ",") throw new SyntaxError("not JSON");
        next();
      }
    }
    throw new SyntaxError("not JSON");
  };
  try {
    next();
    const result = value(0);
    return text.slice(TOKEN.lastIndex).trim() === "" ? result : null;
  } catch {
    return null;
  }
}

/** A step of a path, as filters write it. */
export const step = (key: string) => (/^[A-Za-z_]\w*$/.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`);

/** What a path leads to, as text for a cell. */
export function pick(json: Json | null, path: string): string | null {
  let at: Json | undefined = json ?? undefined;
  for (const [, name, index, quoted] of path.matchAll(
    /\.([A-Za-z_]\w*)|\[(\d+|\*)\]|\[("(?:[^"\\]|\\.)*")\]/g,
  )) {
    if (!at) return null;
    if (index !== undefined) {
      if (at.kind !== "array") return null;
      if (index === "*") {
        const rest: string = path.slice(path.indexOf("[*]") + 3);
        return at.items.map((item) => pick(item, rest) ?? "").join(", ");
      }
      at = at.items[Number(index)];
    } else {
      const key: string = name ?? JSON.parse(quoted!);
      at = at.kind === "object" ? at.entries.find(([other]) => other === key)?.[1] : undefined;
    }
  }
  return at ? brief(at) : null;
}

function brief(json: Json): string {
  if (json.kind === "string") return JSON.parse(json.text);
  if (json.kind === "array") return `[${json.items.map(brief).join(", ")}]`;
  if (json.kind === "object")
    return `{${json.entries.map(([key, value]) => `${key}: ${brief(value)}`).join(", ")}}`;
  return json.text;
}

export interface Leaf {
  path: string;
  /** As a filter writes it. */
  literal: string;
  kind: "string" | "number" | "word";
}

export function JsonView(props: { json: Json; onLeaf?: (leaf: Leaf) => void; chosen?: string | null }) {
  return (
    <div className="json">
      <Node
        json={props.json}
        path="value"
        onLeaf={props.onLeaf}
        chosen={props.chosen ?? null}
        tail=""
        depth={0}
      />
    </div>
  );
}

const FOLDED_AT = 60;

function Node(props: {
  json: Json;
  path: string;
  label?: string;
  tail: string;
  depth: number;
  chosen: string | null;
  onLeaf?: (leaf: Leaf) => void;
}) {
  const { json, path, label, tail, chosen, onLeaf, depth } = props;
  const count = json.kind === "object" ? json.entries.length : json.kind === "array" ? json.items.length : 0;
  const [isOpen, setOpen] = useState(count <= FOLDED_AT);
  const key: ReactNode = label !== undefined && (
    <>
      <span className="json-key">{JSON.stringify(label)}</span>:{" "}
    </>
  );
  const indent = { paddingLeft: `${depth * 16}px` };
  if (json.kind === "object" || json.kind === "array") {
    const [open, close] = json.kind === "object" ? ["{", "}"] : ["[", "]"];
    if (count === 0 || !isOpen) {
      return (
        <div className="json-line" style={indent}>
          {key}
          {count === 0 ? (
            `${open}${close}`
          ) : (
            <button type="button" className="json-fold" onClick={() => setOpen(true)}>
              {`${open} … ${count} ${close}`}
            </button>
          )}
          {tail}
        </div>
      );
    }
    const children: [string | undefined, string, Json][] =
      json.kind === "object"
        ? json.entries.map(([name, value]) => [name, path + step(name), value])
        : json.items.map((value, index) => [undefined, `${path}[${index}]`, value]);
    return (
      <>
        <div className="json-line" style={indent}>
          {key}
          {depth > 0 ? (
            <button type="button" className="json-fold" aria-expanded="true" onClick={() => setOpen(false)}>
              {open}
            </button>
          ) : (
            open
          )}
        </div>
        {children.map(([name, childPath, value], index) => (
          <Node
            key={childPath}
            json={value}
            path={childPath}
            label={name}
            tail={index < children.length - 1 ? "," : ""}
            depth={depth + 1}
            chosen={chosen}
            onLeaf={onLeaf}
          />
        ))}
        <div className="json-line" style={indent}>
          {close}
          {tail}
        </div>
      </>
    );
  }
  const leaf = { path, literal: json.text, kind: json.kind };
  return (
    <div className="json-line" style={indent}>
      {key}
      {onLeaf ? (
        <button
          type="button"
          className={`json-leaf json-${json.kind}`}
          aria-pressed={chosen === path}
          onClick={() => onLeaf(leaf)}
        >
          {json.text}
        </button>
      ) : (
        <span className={`json-${json.kind}`}>{json.text}</span>
      )}
      {tail}
    </div>
  );
}
