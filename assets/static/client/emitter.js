// @ts-check
/**
 * A registry of listeners, by the name of the event.
 * @template {Record<string, any>} Events
 */
export class Emitter {
  /** @type {Map<keyof Events, Set<(value: any) => void>>} */
  #listeners = new Map();

  /**
   * Calls `listener` at each event of this name, until the returned function is called.
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
   * Calls all listeners of an event.
   * @internal
   * @template {keyof Events} Name
   * @param {Name} name
   * @param {Events[Name]} value
   */
  _emit(name, value) {
    for (const listener of [...(this.#listeners.get(name) ?? [])]) {
      // A listener that throws must not keep other listeners, or later events, from being handled.
      try { listener(value); } catch (error) { setTimeout(() => { throw error; }); }
    }
  }
}
