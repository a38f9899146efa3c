// @ts-check
/** Checks of arguments. A wrong argument is a bug of the caller, who gets a TypeError immediately. */

/** The form of a group's name: `chat_` and hexadecimal digits. */
const GROUP = /^chat_[0-9a-f]{8,64}$/;

/**
 * Returns the name of a group unchanged.
 * @param {unknown} group
 * @returns {string}
 * @throws {TypeError} for any other value
 */
export function groupName(group) {
  if (typeof group === 'string' && GROUP.test(group)) return group;
  throw new TypeError(`${describe(group)} is not the name of a group: expected a string such as "chat_a1b2c3d4", as startChat() returns it.`);
}

/**
 * Returns the seq of an event unchanged.
 * @param {unknown} seq
 * @param {string} [name] of the argument
 * @param {number} [least] 0 if "before the first event" is allowed
 * @returns {number}
 * @throws {TypeError} for any other value
 */
export function seqNumber(seq, name = 'seq', least = 1) {
  if (Number.isSafeInteger(seq) && /** @type {number} */ (seq) >= least) return /** @type {number} */ (seq);
  throw new TypeError(`${name}: ${describe(seq)} is not the seq of an event: expected an integer of at least ${least}.`);
}

/**
 * Returns a text unchanged.
 * @param {unknown} text
 * @param {string} name of the argument
 * @returns {string}
 * @throws {TypeError} for any other value
 */
export function textOf(text, name) {
  if (typeof text === 'string') return text;
  throw new TypeError(`${name}: ${describe(text)} is not a string.`);
}

/** Returns a short description of a value for an error message. @param {unknown} value */
function describe(value) {
  if (typeof value === 'string') return JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}…` : value);
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? 'an array' : 'an object';
  return typeof value === 'function' ? 'a function' : String(value);
}
