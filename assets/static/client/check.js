// @ts-check
/** Checks of arguments. A wrong argument is a fault of the calling program, which gets a TypeError at once. */

/** The form of a group's name: `chat_` and hexadecimal digits. */
const GROUP = /^chat_[0-9a-f]{8,64}$/;

/**
 * Returns the name of a group.
 * @param {unknown} group
 * @returns {string}
 * @throws {TypeError} for everything else
 */
export function groupName(group) {
  if (typeof group === 'string' && GROUP.test(group)) return group;
  throw new TypeError(`${shown(group)} is not the name of a group: expected a string such as "chat_a1b2c3d4", as startChat() returns it.`);
}

/**
 * Returns the seq of an event.
 * @param {unknown} seq
 * @param {string} [name] of the argument
 * @param {number} [least] 0 where "before the first event" has a meaning
 * @returns {number}
 * @throws {TypeError} for everything else
 */
export function seqNumber(seq, name = 'seq', least = 1) {
  if (Number.isSafeInteger(seq) && /** @type {number} */ (seq) >= least) return /** @type {number} */ (seq);
  throw new TypeError(`${name}: ${shown(seq)} is not the seq of an event: expected an integer of at least ${least}.`);
}

/**
 * Returns a text.
 * @param {unknown} text
 * @param {string} name of the argument
 * @returns {string}
 * @throws {TypeError} for everything else
 */
export function textOf(text, name) {
  if (typeof text === 'string') return text;
  throw new TypeError(`${name}: ${shown(text)} is not a string.`);
}

/** @param {unknown} value */
function shown(value) {
  if (typeof value === 'string') return JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}…` : value);
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? 'an array' : 'an object';
  return typeof value === 'function' ? 'a function' : String(value);
}
