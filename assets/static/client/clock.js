// @ts-check
/** Time and random values. */

export const now = () => Date.now();

/**
 * A number at random.
 * @param {number} low
 * @param {number} high
 */
export const between = (low, high) => low + Math.random() * (high - low);

/**
 * Calls later; a runtime that has nothing else to do is not kept by it.
 * @param {() => void} act
 * @param {number} delay milliseconds
 */
export function later(act, delay) {
  const timer = setTimeout(act, delay);
  /** @type {any} */ (timer).unref?.();
  return timer;
}

/** Returns a new client id (`cid`), which lets the server recognise a retry. `crypto.randomUUID` needs https. */
export const newCid = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
