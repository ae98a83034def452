// How answers look.

export function ok(response, body, status = 200) {
  if (body === undefined) {
    response.statusCode = 204;
    return response.end();
  }
  response.statusCode = status;
  response.setHeader("content-type", "application/json");
  response.end(JSON.stringify(body));
}

export function apiError(code, what, why, field = null, remedy = null) {
  return {
    code,
    what,
    why,
    remedy,
    retriable: code === "INTERNAL",
    requestId: `mock-${Date.now().toString(36)}`,
    field,
  };
}

export function fail(response, status, code, what, why, field = null) {
  response.statusCode = status;
  response.setHeader("content-type", "application/json");
  response.end(JSON.stringify({ error: apiError(code, what, why, field) }));
}

/** Throws what the server answers with. */
export function refuse(status, code, what, why, field = null) {
  throw Object.assign(new Error(why), { status, code, what, why, field });
}

export function page(rows, query, defaultSort, nameOf) {
  const size = Math.min(500, Number(query.get("size") ?? 50));
  const number = Math.max(1, Number(query.get("page") ?? 1));
  const sort = query.get("sort") ?? defaultSort;
  const field = sort.replace(/^-/, "");
  const sign = sort.startsWith("-") ? -1 : 1;
  const sorted = rows.sort((a, b) => {
    const [x, y] = [a[field], b[field]];
    const order = typeof x === "string" ? x.localeCompare(y) : (x ?? -1) - (y ?? -1);
    return order * sign || nameOf(a).localeCompare(nameOf(b));
  });
  return {
    items: sorted.slice((number - 1) * size, number * size),
    total: rows.length,
    page: number,
    size,
    asOf: Date.now(),
  };
}
