// @ts-check
import { newCid, now } from './clock.js';
import { SalamError } from './error.js';

/**
 * @typedef {import('./types.js').Stored} Stored
 * @typedef {import('./outbox.js').Way} Way
 *
 * @typedef {object} Reaction A wanted state of one emoji under one message.
 * @property {string} key
 * @property {number} seq
 * @property {string} emoji
 * @property {boolean} on the state that was asked for last
 * @property {{ on: boolean, cid: string } | null} sent the request that has no final reply yet
 * @property {number} refusedAt the time of the first refusal; 0 before it
 * @property {boolean} isWaiting whether it waits after a refusal
 * @property {{ resolve: (stored: Stored) => void, reject: (error: Error) => void }[]} callers
 */

/** Milliseconds that a rate-limited reaction waits at most. A longer wait is an error. */
const WAITS = 10_000;

/**
 * The unsent reactions of one chat.
 *
 * For an emoji under a message, only the last wanted state is sent. Toggles during a request cause one more
 * request at most. Reactions and messages do not wait for each other.
 */
export class Reactions {
  #way;
  /** In the order of the calls. @type {Map<string, Reaction>} */
  #wanted = new Map();
  /** @type {Reaction | null} the reaction whose request is under way */
  #asked = null;
  /** @type {Set<ReturnType<typeof setTimeout>>} */
  #timers = new Set();
  /** For an emoji under a message: the time until which the server refuses it. @type {Map<string, number>} */
  #limited = new Map();
  /** @type {SalamError | null} */
  #over = null;

  /** @param {Pick<Way, 'ask' | 'isOpen'>} way */
  constructor(way) { this.#way = way; }

  /**
   * @param {number} seq
   * @param {string} emoji
   * @param {boolean} on
   * @returns {Promise<Stored>} rejects at once if the server refuses the reaction for longer than `WAITS`
   */
  react(seq, emoji, on) {
    return new Promise((resolve, reject) => {
      if (this.#over) return reject(this.#over);
      const key = `${seq} ${emoji}`;
      const left = (this.#limited.get(key) ?? 0) - now();
      if (left > WAITS) return reject(tooFast(left));
      const known = this.#wanted.get(key);
      const reaction = known ?? { key, seq, emoji, on, sent: null, refusedAt: 0, isWaiting: false, callers: [] };
      reaction.on = on;
      reaction.callers.push({ resolve, reject });
      this.#wanted.set(key, reaction);
      if (!known && left > 0) this.#wait(reaction, left);
      this.flush();
    });
  }

  /** Makes the next request: one at a time. */
  flush() {
    if (this.#asked || !this.#way.isOpen()) return;
    const reaction = [...this.#wanted.values()].find(({ isWaiting }) => !isWaiting);
    if (!reaction) return;
    const { seq, emoji, on } = reaction;
    // The server takes a `cid` for one request: another state is another request.
    if (reaction.sent?.on !== on) reaction.sent = { on, cid: newCid() };
    this.#asked = reaction;
    this.#way.ask({ type: 'react', seq, emoji, on, cid: reaction.sent.cid }, (reply) => this.#answered(reaction, on, reply));
  }

  /** The socket is lost, and with it the reply to the request that was under way. */
  interrupt() { this.#asked = null; }

  /** Nothing is sent any more. @param {SalamError} error */
  end(error) {
    this.interrupt();
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    this.#over ??= error;
    for (const reaction of [...this.#wanted.values()]) this.#settle(reaction, (caller) => caller.reject(error));
  }

  /**
   * @param {Reaction} reaction
   * @param {boolean} on the state that was sent
   * @param {any} reply
   */
  #answered(reaction, on, reply) {
    this.#asked = null;
    if (reply.type === 'ok') {
      reaction.sent = null;
      reaction.refusedAt = 0;
      if (reaction.on === on) this.#settle(reaction, ({ resolve }) => resolve({ seq: reply.seq, at: reply.at, dup: reply.dup ?? false }));
    } else if (reply.retry) this.#refused(reaction, reply);
    else {
      const error = new SalamError(reply.code, reply.message, { field: reply.field });
      this.#settle(reaction, ({ reject }) => reject(error));
    }
    this.flush();
  }

  /**
   * @param {Reaction} reaction
   * @param {{ code: string, message: string, retry_after_ms?: number | null }} reply
   */
  #refused(reaction, { code, message, retry_after_ms: given }) {
    const wait = given ?? 1000;
    reaction.refusedAt ||= now();
    if (code === 'rate_limited') {
      this.#limit(reaction.key, now() + wait);
      if (now() + wait - reaction.refusedAt > WAITS) return this.#settle(reaction, ({ reject }) => reject(tooFast(wait, message)));
    }
    this.#wait(reaction, wait);
  }

  /** @param {string} key @param {number} until */
  #limit(key, until) {
    for (const [other, end] of this.#limited) if (end <= now()) this.#limited.delete(other);
    this.#limited.set(key, until);
  }

  /** @param {Reaction} reaction @param {number} delay */
  #wait(reaction, delay) {
    reaction.isWaiting = true;
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      reaction.isWaiting = false;
      this.flush();
    }, delay);
    this.#timers.add(timer);
  }

  /**
   * @param {Reaction} reaction
   * @param {(caller: Reaction['callers'][number]) => void} tell
   */
  #settle(reaction, tell) {
    this.#wanted.delete(reaction.key);
    reaction.callers.forEach(tell);
  }
}

/** @param {number} wait milliseconds @param {string} [message] */
function tooFast(wait, message = 'Too many reactions.') {
  return new SalamError('rate_limited', message, { retry: true, retryAfter: Math.ceil(wait) });
}
