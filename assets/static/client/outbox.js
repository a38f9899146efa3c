// @ts-check
import { newCid, now } from './clock.js';
import { SalamError } from './error.js';

/**
 * @typedef {import('./types.js').Pending} Pending
 * @typedef {import('./types.js').Stored} Stored
 *
 * @typedef {object} Request Something to be done in a chat.
 * @property {object} frame
 * @property {Pending | null} message the message that it sends, if it sends one
 * @property {(stored: Stored) => void} resolve
 * @property {(error: Error) => void} reject
 *
 * @typedef {object} Way How an outbox gets rid of what it holds.
 * @property {(request: object, reply: (frame: any) => void) => void} ask
 * @property {() => boolean} isOpen whether there is one now
 * @property {(seq: number) => boolean} hasApplied whether that event was told already
 * @property {(key: string, value: string | null) => void} store
 * @property {() => string[]} stored
 * @property {(key: string) => boolean} isStored
 * @property {(pending: readonly Pending[]) => void} changed
 */

/**
 * What is to be done in one chat, in the order in which it was asked for. A request is made again, with
 * the same `cid`, until it is answered for good; messages outlive the page.
 */
export class Outbox {
  #way;
  /** @type {Request[]} */
  #queue = [];
  #isBusy = false;
  /** @type {Pending[]} */
  #pending = [];
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #isOver = false;
  /** @type {Set<string>} */
  #recovered = new Set();

  /** @param {Way} way */
  constructor(way) {
    this.#way = way;
    this.#recover();
  }

  /** Messages that are not in the log yet. */
  get pending() { return /** @type {readonly Pending[]} */ (this.#pending); }

  /**
   * @param {string} text
   * @param {number | null} replyTo
   * @returns {Promise<Stored>}
   */
  send(text, replyTo) {
    return this.#enqueue({ cid: newCid(), text, replyTo, at: now(), state: 'waiting', error: null });
  }

  /** @param {string} cid */
  retry(cid) {
    const message = this.#pending.find((it) => it.cid === cid && it.state === 'failed');
    if (!message) return;
    this.#pending = this.#pending.filter((it) => it !== message);
    this.#enqueue({ ...message, state: 'waiting', error: null }).catch(() => {});
  }

  /** @param {string} cid */
  discard(cid) {
    const message = this.#pending.find((it) => it.cid === cid);
    if (!message || message.state === 'sending' || message.state === 'stored') return;
    const dropped = this.#queue.filter((request) => request.message === message);
    this.#queue = this.#queue.filter((request) => request.message !== message);
    this.#settled(message);
    for (const { reject } of dropped) reject(new SalamError('discarded', 'The message was discarded.'));
  }

  /**
   * @param {object} frame
   * @param {Pending | null} [message]
   * @returns {Promise<Stored>}
   */
  request(frame, message = null) {
    return new Promise((resolve, reject) => {
      if (this.#isOver) return reject(new SalamError('not_member', 'This chat is not followed any more.'));
      this.#queue.push({ frame: { ...frame, cid: message?.cid ?? newCid() }, message, resolve, reject });
      this.flush();
    });
  }

  /** Makes the next request: one at a time, so that what is refused for now is not overtaken by what came after it. */
  flush() {
    if (this.#isBusy || !this.#way.isOpen()) return;
    this.#dropDiscarded();
    const [request] = this.#queue;
    if (!request) return;
    this.#isBusy = true;
    if (request.message) this.#become(request.message, 'sending');
    this.#way.ask(request.frame, (reply) => this.#answered(request, reply));
  }

  /** What another tab has sent or discarded of what an earlier page has left is not to be sent here. */
  #dropDiscarded() {
    const gone = this.#queue.filter(({ message }) => message && this.#recovered.has(message.cid) && !this.#way.isStored(message.cid));
    this.#queue = this.#queue.filter((request) => !gone.includes(request));
    for (const { message } of gone) if (message) this.#settled(message);
  }

  /** The way is gone, and with it the reply to what was under way: that is made again. */
  interrupt() {
    clearTimeout(this.#timer);
    this.#isBusy = false;
    for (const message of this.#pending) if (message.state === 'sending') this.#become(message, 'waiting');
  }

  /** All events up to this were told, or never will be: what is stored there is in the log. @param {number} seq */
  reached(seq) {
    for (const message of [...this.#pending]) {
      if (message.state === 'stored' && (message.seq ?? Infinity) <= seq) this.#settled(message);
    }
  }

  /** The event of a message has come: it is in the log. @param {string | undefined} cid */
  arrived(cid) {
    const message = this.#pending.find((it) => it.cid === cid);
    if (message) this.#settled(message);
  }

  /** Nothing goes out any more; messages are kept for the next page, unless they can never be sent. @param {SalamError} [error] */
  end(error) {
    this.interrupt();
    this.#isOver = true;
    if (error) for (const message of [...this.#pending]) this.#settled(message);
    const reason = error ?? new SalamError('closed', 'This chat is not followed any more.');
    for (const { reject } of this.#queue.splice(0)) reject(reason);
  }

  /**
   * @param {Request} request
   * @param {any} reply
   */
  #answered(request, reply) {
    if (reply.type === 'error' && reply.retry) {
      if (request.message) this.#become(request.message, 'waiting');
      this.#timer = setTimeout(() => { this.#isBusy = false; this.flush(); }, reply.retry_after_ms ?? 1000);
      return;
    }
    this.#isBusy = false;
    // It may have been discarded meanwhile.
    this.#queue = this.#queue.filter((it) => it !== request);
    const { message } = request;
    if (reply.type === 'ok') {
      if (message) this.#stored(message, reply.seq);
      request.resolve({ seq: reply.seq, at: reply.at, dup: reply.dup ?? false });
    } else {
      const error = new SalamError(reply.code, reply.message, { field: reply.field });
      if (message) this.#failed(message, error);
      request.reject(error);
    }
    this.flush();
  }

  /**
   * @param {Pending} message
   * @returns {Promise<Stored>}
   */
  #enqueue(message) {
    this.#pending.push(message);
    this.#save(message);
    const { text, replyTo } = message;
    const stored = this.request({ type: 'send', text, reply_to: replyTo ?? undefined }, message);
    this.#way.changed(this.#pending);
    return stored;
  }

  /**
   * @param {Pending} message
   * @param {number} seq
   */
  #stored(message, seq) {
    this.#way.store(message.cid, null);
    // It leaves the list when its event comes, so that it is never missing from what is shown.
    if (this.#way.hasApplied(seq)) this.#settled(message);
    else {
      message.seq = seq;
      this.#become(message, 'stored');
    }
  }

  /**
   * @param {Pending} message
   * @param {SalamError} error
   */
  #failed(message, error) {
    message.error = error;
    this.#become(message, 'failed');
    this.#save(message);
  }

  /** @param {Pending} message */
  #settled(message) {
    this.#way.store(message.cid, null);
    this.#pending = this.#pending.filter((it) => it !== message);
    this.#way.changed(this.#pending);
  }

  /**
   * @param {Pending} message
   * @param {Pending['state']} state
   */
  #become(message, state) {
    message.state = state;
    this.#way.changed(this.#pending);
  }

  /** @param {Pending} message */
  #save(message) {
    const { error } = message;
    const kept = { ...message, error: error && { code: error.code, message: error.message } };
    this.#way.store(message.cid, JSON.stringify(kept));
  }

  /** Takes over what an earlier page could not send. Another tab may do the same: it is done once. */
  #recover() {
    const kept = this.#way.stored().flatMap((text) => {
      try { return [/** @type {Pending} */ (JSON.parse(text))]; } catch { return []; }
    });
    for (const message of kept.sort((a, b) => a.at - b.at)) {
      const { error } = message;
      if (message.state === 'failed') this.#pending.push({ ...message, error: error && new SalamError(error.code, error.message) });
      else {
        this.#recovered.add(message.cid);
        this.#enqueue({ ...message, state: 'waiting' }).catch(() => {});
      }
    }
  }
}
