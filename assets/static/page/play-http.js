// @ts-check
/** The requests of the playground, shown with their responses. */

import { address } from '../client/path.js';
import { clone, part } from './dom.js';
import { text } from './texts.js';

/**
 * @typedef {object} PlayRequest
 * @property {string} path
 * @property {string} body is sent unchanged, even if it is not JSON: then the server reports the error
 * @property {string} [access] the access token
 * @property {string} [key] the `Idempotency-Key`
 *
 * @typedef {object} PlayResponse
 * @property {number} status 0 without a response
 * @property {any} json undefined if the body is not JSON
 */

/** The response headers to show. (A script cannot read Set-Cookie.) */
const HEADERS = ['content-type', 'retry-after', 'www-authenticate'];

/** Returns the beginning and the end of a token: enough to recognise it, too little to use it. @param {string} token */
export const shorten = (token) => (token.length > 20 ? `${token.slice(0, 12)}…${token.slice(-6)}` : token);

/** Returns random bytes in hexadecimal digits. @param {number} bytes */
export const hex = (bytes) => Array.from(crypto.getRandomValues(new Uint8Array(bytes)), (byte) => byte.toString(16).padStart(2, '0')).join('');

/** The part of an element that shows a request and its response. */
export class Exchange {
  /** @param {HTMLElement} root */
  constructor(root) {
    this.root = clone('play-exchange');
    part(root, 'exchange').append(this.root);
  }

  /**
   * Sends a request, and shows it with its response. Never throws: a failed request has the status 0.
   * @param {PlayRequest} request
   * @returns {Promise<PlayResponse>}
   */
  async post(request) {
    this.#show('asked', requestText(request));
    this.#show('answered', '');
    part(this.root, 'status').textContent = text('play-waiting');
    const since = performance.now();
    try {
      const response = await fetch(address(location.origin, request.path), { method: 'POST', headers: headersOf(request), body: request.body });
      const body = await response.text();
      return this.#showResponse(response, body, Math.round(performance.now() - since));
    } catch (error) {
      part(this.root, 'status').textContent = text('play-no-response', { error: String(error) });
      return { status: 0, json: undefined };
    }
  }

  /**
   * Shows a response.
   * @param {Response} response
   * @param {string} body
   * @param {number} took milliseconds
   * @returns {PlayResponse}
   */
  #showResponse(response, body, took) {
    const status = `${response.status} ${response.statusText}`.trim();
    const headers = HEADERS.filter((name) => response.headers.has(name));
    const json = parsed(body);
    const lines = [status, ...headers.map((name) => `${name}: ${response.headers.get(name)}`)];
    this.#show('answered', `${lines.join('\n')}\n\n${json === undefined ? body : JSON.stringify(json, null, 2)}`);
    part(this.root, 'status').textContent = text('play-responded', { status, took });
    return { status: response.status, json };
  }

  /** Shows a text in a part. @param {string} name @param {string} content */
  #show(name, content) {
    this.root.hidden = false;
    const element = part(this.root, name);
    element.textContent = content;
    element.hidden = content === '';
  }
}

/** Returns a parsed JSON text; undefined if it is not JSON. @param {string} body @returns {any} */
export function parsed(body) {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}

/** Returns the headers of a request. @param {PlayRequest} request @returns {Record<string, string>} */
function headersOf({ access, key }) {
  return {
    'Content-Type': 'application/json',
    ...(access && { Authorization: `Bearer ${access}` }),
    ...(key && { 'Idempotency-Key': key }),
  };
}

/** Returns a request as text, with a shortened token. @param {PlayRequest} request */
function requestText(request) {
  const headers = headersOf({ ...request, access: request.access && shorten(request.access) });
  const lines = Object.entries({ Host: location.host, ...headers }).map(([name, value]) => `${name}: ${value}`);
  return `POST ${request.path}\n${lines.join('\n')}\n\n${request.body}`;
}
