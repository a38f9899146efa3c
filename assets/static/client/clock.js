// @ts-check
/** Time and random values. */

/** Returns the time of this device in milliseconds. */
export const now = () => Date.now();

/**
 * Returns a random number between two bounds.
 * @param {number} low
 * @param {number} high
 */
export const between = (low, high) => low + Math.random() * (high - low);

/**
 * Calls a function later. The timer does not keep a Node.js process running.
 * @param {() => void} callback
 * @param {number} delay milliseconds
 */
export function later(callback, delay) {
  const timer = setTimeout(callback, delay);
  /** @type {any} */ (timer).unref?.();
  return timer;
}

/** Returns a new client id (`cid`), which lets the server recognise a retry. `crypto.randomUUID` needs https. */
export const newCid = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
