// @ts-check
/** An error of a request or of the connection. If the server sent a message, the error has this message. */
export class SalamError extends Error {
  /**
   * @param {string} code for programs: a code of the server (`invalid`, `rate_limited` …), or a code of the client,
   *   with the status 0. `offline`: the server cannot be reached. `invalid`: the client cannot build the path of the
   *   request, and did not send it. `closed`: the chat or the client was closed. `discarded`: the message was
   *   discarded. `no_websocket`: the runtime cannot create a WebSocket
   * @param {string} message for users
   * @param {{ status?: number, field?: string | null, errors?: Record<string, string[]>, retry?: boolean, retryAfter?: number }} [more]
   */
  constructor(code, message, more = {}) {
    super(message);
    this.name = 'SalamError';
    this.code = code;
    /** The status of the HTTP response; 0 without a response. */
    this.status = more.status ?? 0;
    /** The invalid field of the request; null without one. */
    this.field = more.field ?? null;
    /** The errors of each field of a registration. */
    this.errors = more.errors ?? {};
    /** Whether the same request may succeed later. */
    this.retry = more.retry ?? false;
    /** Milliseconds to wait before a retry; 0 if unknown. */
    this.retryAfter = more.retryAfter ?? 0;
  }
}

/** The code of an error response without a `code` in its body, by its status. */
const CODE_OF_STATUS = /** @type {Record<number, string>} */ ({
  400: 'invalid', 401: 'unauthorized', 403: 'forbidden', 404: 'not_found', 413: 'too_large', 429: 'rate_limited',
});

/**
 * Returns the error for a response with an error status. The body may have any format.
 * @param {Response} response
 * @param {string} text its body
 */
export function errorOf(response, text) {
  /** @type {any} */
  let body = null;
  try { body = JSON.parse(text); } catch { /* the text of a proxy */ }
  if (typeof body !== 'object' || body === null) body = {};
  const { status } = response;
  const retry = status === 429 || status >= 500;
  const [field, faults] = Object.entries(body).find(([, value]) => Array.isArray(value)) ?? [];
  const message = body.error ?? body.detail ?? /** @type {string[] | undefined} */ (faults)?.[0] ?? `The server answered ${status}.`;
  return new SalamError(body.code ?? CODE_OF_STATUS[status] ?? (status >= 500 ? 'unavailable' : 'refused'), message, {
    status, retry, field: body.field ?? field, errors: body.errors,
    retryAfter: 1000 * (Number(response.headers.get('retry-after')) || 0),
  });
}
