// Requests to the server, with its errors as `Failure`.
import type { ApiError } from "./contract";

export type Params = Record<string, string | number | boolean | null | undefined>;

/** A request that did not succeed, in the server's words or, where it could not be reached, in ours. */
export class Failure extends Error {
  constructor(
    readonly status: number,
    readonly error: ApiError,
  ) {
    super(`${error.what}: ${error.why}`);
  }
}

export function url(path: string, params: Params = {}): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (value !== undefined && value !== null && value !== "") query.set(name, String(value));
  }
  const text = query.toString();
  return `/api${path}${text ? `?${text}` : ""}`;
}

/** A name as a part of a path. */
export const part = encodeURIComponent;

async function failure(response: Response): Promise<Failure> {
  try {
    const body = await response.json();
    if (body?.error?.code) return new Failure(response.status, body.error);
  } catch {
    // Not ours: a proxy's page, say.
  }
  return new Failure(response.status, {
    code: "INTERNAL",
    what: `HTTP ${response.status}`,
    why: response.statusText || "the answer is not one of the console's",
    remedy: null,
    retriable: response.status >= 500,
    requestId: "",
    field: null,
  });
}

async function ask(path: string, init: RequestInit): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, init);
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new Failure(0, {
      code: "CONSOLE_UNREACHABLE",
      what: path,
      why: String(error),
      remedy: null,
      retriable: true,
      requestId: "",
      field: null,
    });
  }
  if (!response.ok) throw await failure(response);
  return response;
}

export async function get<T>(path: string, params?: Params, signal?: AbortSignal): Promise<T> {
  return (await ask(url(path, params), { signal })).json();
}

export async function send<T = void>(
  method: "POST" | "PUT" | "PATCH" | "DELETE",
  path: string,
  body?: unknown,
  params?: Params,
): Promise<T> {
  const init: RequestInit =
    body === undefined
      ? { method }
      : { method, body: JSON.stringify(body), headers: { "content-type": "application/json" } };
  const response = await ask(url(path, params), init);
  return response.status === 204 ? (undefined as T) : response.json();
}

/** Reads an answer that comes line by line; ends when it ends, or when `signal` says so. */
export async function lines<T>(path: string, init: RequestInit, each: (event: T) => void): Promise<void> {
  const response = await ask(path, init);
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    const pieces = (rest + value).split("\n");
    rest = pieces.pop()!;
    for (const piece of pieces) if (piece) each(JSON.parse(piece));
  }
  if (rest) each(JSON.parse(rest));
}
