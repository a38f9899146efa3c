// @ts-check
/** Requests of the playground, shown as they travel: what is asked, and what is answered. */

import { address } from '../client/path.js';
import { clone, part } from './dom.js';
import { text } from './texts.js';

/**
 * @typedef {object} Ask
 * @property {string} path
 * @property {string} body goes out as it is, JSON or not: the server says what is wrong with it
 * @property {string} [access] a token
 * @property {string} [key] of the request, so that it is done once
 *
 * @typedef {object} Answer
 * @property {number} status 0 where none came
 * @property {any} json undefined where the body is none
 */

/** What scripts may read of an answer, and learners may want to. (Set-Cookie is kept from scripts.) */
const HEADERS = ['content-type', 'retry-after', 'www-authenticate'];

/** Enough of a token to know it again, and too little to use it. @param {string} token */
export const shorten = (token) => (token.length > 20 ? `${token.slice(0, 12)}…${token.slice(-6)}` : token);

/** A random number of that many bytes in hexadecimal digits. @param {number} bytes */
export const hex = (bytes) => Array.from(crypto.getRandomValues(new Uint8Array(bytes)), (byte) => byte.toString(16).padStart(2, '0')).join('');

/** A place for requests in an element that has one. */
export class Exchange {
  /** @param {HTMLElement} root */
  constructor(root) {
    this.root = clone('play-exchange');
    part(root, 'exchange').append(this.root);
  }

  /**
   * Asks and shows it. Never throws: that no answer came is an answer, too.
   * @param {Ask} ask
   * @returns {Promise<Answer>}
   */
  async post(ask) {
    this.#show('asked', asked(ask));
    this.#show('answered', '');
    part(this.root, 'status').textContent = text('play-asking');
    const since = performance.now();
    try {
      const response = await fetch(address(location.origin, ask.path), { method: 'POST', headers: headersOf(ask), body: ask.body });
      const body = await response.text();
      return this.#answered(response, body, Math.round(performance.now() - since));
    } catch (error) {
      part(this.root, 'status').textContent = text('play-no-answer', { error: String(error) });
      return { status: 0, json: undefined };
    }
  }

  /**
   * @param {Response} response
   * @param {string} body
   * @param {number} took
   * @returns {Answer}
   */
  #answered(response, body, took) {
    const status = `${response.status} ${response.statusText}`.trim();
    const headers = HEADERS.filter((name) => response.headers.has(name));
    const json = parsed(body);
    const lines = [status, ...headers.map((name) => `${name}: ${response.headers.get(name)}`)];
    this.#show('answered', `${lines.join('\n')}\n\n${json === undefined ? body : JSON.stringify(json, null, 2)}`);
    part(this.root, 'status').textContent = text('play-answered', { status, took });
    return { status: response.status, json };
  }

  /** @param {string} name @param {string} content */
  #show(name, content) {
    this.root.hidden = false;
    const place = part(this.root, name);
    place.textContent = content;
    place.hidden = content === '';
  }
}

/** What a text means as JSON; undefined where it is none. @param {string} body @returns {any} */
export function parsed(body) {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}

/** @param {Ask} ask @returns {Record<string, string>} */
function headersOf({ access, key }) {
  return {
    'Content-Type': 'application/json',
    ...(access && { Authorization: `Bearer ${access}` }),
    ...(key && { 'Idempotency-Key': key }),
  };
}

/** The request as text, its token shortened. @param {Ask} ask */
function asked(ask) {
  const headers = headersOf({ ...ask, access: ask.access && shorten(ask.access) });
  const lines = Object.entries({ Host: location.host, ...headers }).map(([name, value]) => `${name}: ${value}`);
  return `POST ${ask.path}\n${lines.join('\n')}\n\n${ask.body}`;
}
