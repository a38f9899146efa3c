// @ts-check
/** Paths and URLs of requests. No value in a path can change the target of the request. */

import { SalamError } from './error.js';

/**
 * Returns a path in which each value is exactly one segment, or a part of one segment:
 * `` path`/api/groups/${group}/members/${username}/` ``.
 *
 * The function encodes each value with `encodeURIComponent`. It rejects an empty value, `.` and `..`:
 * encoding does not change these values, and a URL parser removes `.` and `..` from a path. A request
 * for the member `..` would reach the group instead.
 * @param {readonly string[]} strings
 * @param {...(string | number)} values
 * @returns {string}
 * @throws {SalamError} for a value that cannot be a segment
 */
export function path(strings, ...values) {
  return strings.reduce((built, string, index) => built + segment(values[index - 1]) + string);
}

/**
 * Returns a query with its `?`, or an empty text without parameters. Undefined parameters are omitted.
 * @param {Record<string, string | number | boolean | undefined>} params
 * @returns {string}
 * @throws {SalamError} for a value that is not well-formed Unicode
 */
export function query(params) {
  const given = Object.entries(params).flatMap(([name, value]) => (value === undefined ? [] : [`${encoded(name)}=${encoded(value)}`]));
  return given.length ? `?${given.join('&')}` : '';
}

/**
 * Returns the URL of a path on a server. This is the last check before each request.
 *
 * The function parses the URL as `fetch` does. It rejects a path that the parser would change, because the request
 * would reach another path.
 * @param {string} base scheme and host of the server, without a slash at the end
 * @param {string} target a path that begins with a slash, and its query
 * @returns {string}
 * @throws {SalamError} for a path that the parser would change
 */
export function address(base, target) {
  const parse = (/** @type {string} */ text) => {
    try { return new URL(text, globalThis.location?.href).pathname; } catch {
      throw new SalamError('invalid', `This is not the address of a server: ${JSON.stringify(base)}. Pass \`base\` as scheme://host[:port].`);
    }
  };
  const [own] = target.split('?', 1);
  const prefix = base ? parse(base).replace(/\/$/, '') : '';
  if (!target.startsWith('/') || target.includes('#') || parse(base + target) !== prefix + own) {
    throw new SalamError('invalid', `A URL parser changes this path: ${JSON.stringify(target)}. Encode the names in it.`);
  }
  return base + target;
}

/** Returns a value as one encoded segment. @param {string | number | null | undefined} value */
function segment(value) {
  const text = String(value ?? '');
  if (text === '') throw new SalamError('invalid', 'A name in the path of a request is empty.');
  if (text === '.' || text === '..') throw new SalamError('invalid', `“${text}” cannot be a name in the path of a request.`);
  return encoded(text);
}

/** Returns a value percent-encoded. @param {string | number | boolean} value */
function encoded(value) {
  try { return encodeURIComponent(value); } catch {
    throw new SalamError('invalid', `This text is not well-formed Unicode: ${JSON.stringify(value)}.`);
  }
}
