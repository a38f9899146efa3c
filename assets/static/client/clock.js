// @ts-check
/** Time and chance. */

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

/**
 * Waits. A runtime stays for it, as it stays for a request.
 * @param {number} delay milliseconds
 * @returns {Promise<void>}
 */
export const pause = (delay) => new Promise((resolve) => { setTimeout(resolve, delay); });
