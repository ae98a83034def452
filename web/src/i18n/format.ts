// Texts with places to fill: `{name}`, and `{n, plural, one {# topic} other {# topics}}`.

export type Values = Record<string, string | number>;

export function fill(template: string, values: Values, locale: string): string {
  let text = "";
  let at = 0;
  while (at < template.length) {
    const open = template.indexOf("{", at);
    if (open < 0) return text + template.slice(at);
    text += template.slice(at, open);
    const close = closing(template, open);
    text += place(template.slice(open + 1, close), values, locale);
    at = close + 1;
  }
  return text;
}

/** Where the brace at `open` closes. */
function closing(template: string, open: number): number {
  let depth = 0;
  for (let at = open; at < template.length; at++) {
    if (template[at] === "{") depth++;
    else if (template[at] === "}" && --depth === 0) return at;
  }
  throw new Error(`unclosed brace in "${template}"`);
}

function place(inside: string, values: Values, locale: string): string {
  const plural = inside.match(/^\s*(\w+)\s*,\s*plural\s*,([\s\S]*)$/);
  if (!plural) {
    const value = values[inside.trim()];
    return value === undefined
      ? `{${inside}}`
      : typeof value === "number"
        ? value.toLocaleString(locale)
        : value;
  }
  const value = Number(values[plural[1]!]);
  const forms = new Map<string, string>();
  const rest = plural[2]!;
  for (let at = 0; ; ) {
    const open = rest.indexOf("{", at);
    if (open < 0) break;
    const close = closing(rest, open);
    forms.set(rest.slice(at, open).trim(), rest.slice(open + 1, close));
    at = close + 1;
  }
  const form =
    forms.get(`=${value}`) ??
    forms.get(new Intl.PluralRules(locale).select(value)) ??
    forms.get("other") ??
    "";
  return fill(form.replaceAll("#", value.toLocaleString(locale)), values, locale);
}
