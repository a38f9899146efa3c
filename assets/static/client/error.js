// @ts-check
/** What went wrong, in the server's words where it has said something. */
export class SalamError extends Error {
  /**
   * @param {string} code for programs: `offline`, or what the server says (`invalid`, `rate_limited` …). Codes of
   *   the client itself have the status 0. `invalid`: the request was not sent, because its path cannot be built.
   *   `closed`: the chat or the client was closed. `no_websocket`: the runtime cannot create a WebSocket
   * @param {string} message for people
   * @param {{ status?: number, field?: string | null, errors?: Record<string, string[]>, retry?: boolean, retryAfter?: number }} [more]
   */
  constructor(code, message, more = {}) {
    super(message);
    this.name = 'SalamError';
    this.code = code;
    /** The status of the HTTP answer; 0 where there was none. */
    this.status = more.status ?? 0;
    /** The field that is at fault, where one is. */
    this.field = more.field ?? null;
    /** What is wrong with each field, of a registration. */
    this.errors = more.errors ?? {};
    /** Whether the same may go well later. */
    this.retry = more.retry ?? false;
    /** Milliseconds until then; 0 where they are not known. */
    this.retryAfter = more.retryAfter ?? 0;
  }
}

/** What the server calls an error of this status that has no `code` in its body. */
const CODES = /** @type {Record<number, string>} */ ({
  400: 'invalid', 401: 'unauthorized', 403: 'forbidden', 404: 'not_found', 413: 'too_large', 429: 'rate_limited',
});

/**
 * What a refusal says, in whatever shape.
 * @param {Response} answer
 * @param {string} text
 */
export function refusal(answer, text) {
  /** @type {any} */
  let body = null;
  try { body = JSON.parse(text); } catch { /* a proxy's own words */ }
  if (typeof body !== 'object' || body === null) body = {};
  const { status } = answer;
  const retry = status === 429 || status >= 500;
  const [field, faults] = Object.entries(body).find(([, value]) => Array.isArray(value)) ?? [];
  const message = body.error ?? body.detail ?? /** @type {string[] | undefined} */ (faults)?.[0] ?? `The server answered ${status}.`;
  return new SalamError(body.code ?? CODES[status] ?? (status >= 500 ? 'unavailable' : 'refused'), message, {
    status, retry, field: body.field ?? field, errors: body.errors,
    retryAfter: 1000 * (Number(answer.headers.get('retry-after')) || 0),
  });
}
