// @ts-check
/**
 * Tells listeners.
 * @template {Record<string, any>} Events
 */
export class Emitter {
  /** @type {Map<keyof Events, Set<(value: any) => void>>} */
  #listeners = new Map();

  /**
   * Has `listener` called with what happens, until the function that this returns is called.
   * @template {keyof Events} Name
   * @param {Name} name
   * @param {(value: Events[Name]) => void} listener
   * @returns {() => void}
   */
  on(name, listener) {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners.add(listener));
    return () => listeners.delete(listener);
  }

  /** Removes all listeners. @internal */
  _removeListeners() { this.#listeners.clear(); }

  /**
   * @internal
   * @template {keyof Events} Name
   * @param {Name} name
   * @param {Events[Name]} value
   */
  _emit(name, value) {
    for (const listener of [...(this.#listeners.get(name) ?? [])]) {
      // A listener that throws must not cost the others an event, or this the next one.
      try { listener(value); } catch (error) { setTimeout(() => { throw error; }); }
    }
  }
}
