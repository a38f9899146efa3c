// @ts-check
import { newCid, now } from './clock.js';
import { SalamError } from './error.js';

/**
 * @typedef {import('./types.js').Stored} Stored
 * @typedef {import('./outbox.js').Transport} Transport
 *
 * @typedef {object} Reaction The wanted state of one emoji under one message.
 * @property {string} key
 * @property {number} seq
 * @property {string} emoji
 * @property {boolean} on the last wanted state
 * @property {{ on: boolean, cid: string } | null} sent the request that has no final reply yet
 * @property {number} rejectedAt the time of the first rejection; 0 before it
 * @property {boolean} isWaiting whether it waits after a rejection
 * @property {{ resolve: (stored: Stored) => void, reject: (error: Error) => void }[]} callers
 */

/** Milliseconds that a rate-limited reaction waits at most. A longer wait is an error. */
const MAX_WAIT = 10_000;

/**
 * The unsent reactions of one chat.
 *
 * For an emoji under a message, only the last wanted state is sent. Toggles during a request cause one more
 * request at most. Reactions and messages do not wait for each other.
 */
export class Reactions {
  #transport;
  /** In the order of the calls. @type {Map<string, Reaction>} */
  #wanted = new Map();
  /** @type {Reaction | null} the reaction whose request is under way */
  #current = null;
  /** @type {Set<ReturnType<typeof setTimeout>>} */
  #timers = new Set();
  /** For an emoji under a message: the time until which the server rejects it. @type {Map<string, number>} */
  #limited = new Map();
  /** @type {SalamError | null} */
  #endError = null;

  /** @param {Pick<Transport, 'request' | 'isOpen'>} transport */
  constructor(transport) { this.#transport = transport; }

  /**
   * Sets the wanted state of an emoji under a message.
   * @param {number} seq
   * @param {string} emoji
   * @param {boolean} on
   * @returns {Promise<Stored>} rejects immediately if the rate limit lasts longer than `MAX_WAIT`
   */
  react(seq, emoji, on) {
    return new Promise((resolve, reject) => {
      if (this.#endError) return reject(this.#endError);
      const key = `${seq} ${emoji}`;
      const left = (this.#limited.get(key) ?? 0) - now();
      if (left > MAX_WAIT) return reject(rateLimited(left));
      const known = this.#wanted.get(key);
      const reaction = known ?? { key, seq, emoji, on, sent: null, rejectedAt: 0, isWaiting: false, callers: [] };
      reaction.on = on;
      reaction.callers.push({ resolve, reject });
      this.#wanted.set(key, reaction);
      if (!known && left > 0) this.#wait(reaction, left);
      this.flush();
    });
  }

  /** Sends the next request. Only one request is under way. */
  flush() {
    if (this.#current || !this.#transport.isOpen()) return;
    const reaction = [...this.#wanted.values()].find(({ isWaiting }) => !isWaiting);
    if (!reaction) return;
    const { seq, emoji, on } = reaction;
    // A `cid` identifies one request. Another state is another request.
    if (reaction.sent?.on !== on) reaction.sent = { on, cid: newCid() };
    this.#current = reaction;
    this.#transport.request({ type: 'react', seq, emoji, on, cid: reaction.sent.cid }, (reply) => this.#onReply(reaction, on, reply));
  }

  /** Is called when the socket is lost: the request that was under way gets no reply. */
  interrupt() { this.#current = null; }

  /** Ends all reactions with an error. @param {SalamError} error */
  end(error) {
    this.interrupt();
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    this.#endError ??= error;
    for (const reaction of [...this.#wanted.values()]) this.#settle(reaction, (caller) => caller.reject(error));
  }

  /**
   * Handles the reply to a request.
   * @param {Reaction} reaction
   * @param {boolean} on the state that was sent
   * @param {any} reply
   */
  #onReply(reaction, on, reply) {
    this.#current = null;
    if (reply.type === 'ok') {
      reaction.sent = null;
      reaction.rejectedAt = 0;
      if (reaction.on === on) this.#settle(reaction, ({ resolve }) => resolve({ seq: reply.seq, at: reply.at, dup: reply.dup ?? false }));
    } else if (reply.retry) this.#onRejected(reaction, reply);
    else {
      const error = new SalamError(reply.code, reply.message, { field: reply.field });
      this.#settle(reaction, ({ reject }) => reject(error));
    }
    this.flush();
  }

  /**
   * Handles a rejection that allows a retry.
   * @param {Reaction} reaction
   * @param {{ code: string, message: string, retry_after_ms?: number | null }} reply
   */
  #onRejected(reaction, { code, message, retry_after_ms: given }) {
    const wait = given ?? 1000;
    reaction.rejectedAt ||= now();
    if (code === 'rate_limited') {
      this.#limit(reaction.key, now() + wait);
      if (now() + wait - reaction.rejectedAt > MAX_WAIT) return this.#settle(reaction, ({ reject }) => reject(rateLimited(wait, message)));
    }
    this.#wait(reaction, wait);
  }

  /** Stores the end of a rate limit, and forgets expired limits. @param {string} key @param {number} until */
  #limit(key, until) {
    for (const [other, end] of this.#limited) if (end <= now()) this.#limited.delete(other);
    this.#limited.set(key, until);
  }

  /** Sends a reaction later. @param {Reaction} reaction @param {number} delay */
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
   * Removes a reaction, and settles the promises of its callers.
   * @param {Reaction} reaction
   * @param {(caller: Reaction['callers'][number]) => void} settle
   */
  #settle(reaction, settle) {
    this.#wanted.delete(reaction.key);
    reaction.callers.forEach(settle);
  }
}

/** Returns the error for a rate limit that lasts too long. @param {number} wait milliseconds @param {string} [message] */
function rateLimited(wait, message = 'Too many reactions.') {
  return new SalamError('rate_limited', message, { retry: true, retryAfter: Math.ceil(wait) });
}
