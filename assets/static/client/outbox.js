// @ts-check
import { newCid, now } from './clock.js';
import { SalamError } from './error.js';

/**
 * @typedef {import('./types.js').Pending} Pending
 * @typedef {import('./types.js').Stored} Stored
 *
 * @typedef {object} Request A queued command of a chat.
 * @property {object} frame
 * @property {Pending | null} message the message, if the command sends one
 * @property {(stored: Stored) => void} resolve
 * @property {(error: Error) => void} reject
 *
 * @typedef {object} Transport The functions of the chat by which an outbox sends and stores.
 * @property {(command: object, reply: (frame: any) => void) => void} request
 * @property {() => boolean} isOpen whether a request can be sent now
 * @property {(seq: number) => boolean} hasApplied whether the chat has applied the event of a seq
 * @property {(key: string, value: string | null) => void} store
 * @property {() => string[]} stored
 * @property {(key: string) => boolean} isStored
 * @property {(pending: readonly Pending[]) => void} changed
 */

/**
 * The queue of commands of one chat, in the order of the calls.
 *
 * The client repeats a command, with the same `cid`, until the server gives a final answer. The storage keeps
 * messages when the page is closed.
 */
export class Outbox {
  #transport;
  /** @type {Request[]} */
  #queue = [];
  #isBusy = false;
  /** @type {Pending[]} */
  #pending = [];
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #isClosed = false;
  /** @type {Set<string>} */
  #recovered = new Set();

  /** @param {Transport} transport */
  constructor(transport) {
    this.#transport = transport;
    this.#recover();
  }

  /** Messages that are not in the log yet. */
  get pending() { return /** @type {readonly Pending[]} */ (this.#pending); }

  /**
   * Queues a new message.
   * @param {string} text
   * @param {number | null} replyTo
   * @returns {Promise<Stored>}
   */
  send(text, replyTo) {
    return this.#enqueue({ cid: newCid(), text, replyTo, at: now(), state: 'waiting', error: null });
  }

  /** Queues a failed message again. @param {string} cid */
  retry(cid) {
    const message = this.#pending.find((it) => it.cid === cid && it.state === 'failed');
    if (!message) return;
    this.#pending = this.#pending.filter((it) => it !== message);
    this.#enqueue({ ...message, state: 'waiting', error: null }).catch(() => {});
  }

  /** Discards a message, unless its request is under way or it is stored. @param {string} cid */
  discard(cid) {
    const message = this.#pending.find((it) => it.cid === cid);
    if (!message || message.state === 'sending' || message.state === 'stored') return;
    const dropped = this.#queue.filter((request) => request.message === message);
    this.#queue = this.#queue.filter((request) => request.message !== message);
    this.#remove(message);
    for (const { reject } of dropped) reject(new SalamError('discarded', 'The message was discarded.'));
  }

  /**
   * Queues a command.
   * @param {object} frame
   * @param {Pending | null} [message]
   * @returns {Promise<Stored>}
   */
  request(frame, message = null) {
    return new Promise((resolve, reject) => {
      if (this.#isClosed) return reject(new SalamError('not_member', 'This chat is no longer subscribed.'));
      this.#queue.push({ frame: { ...frame, cid: message?.cid ?? newCid() }, message, resolve, reject });
      this.flush();
    });
  }

  /** Sends the next command. Only one command is under way, so that the order is kept when one must be repeated. */
  flush() {
    if (this.#isBusy || !this.#transport.isOpen()) return;
    this.#dropDiscarded();
    const [request] = this.#queue;
    if (!request) return;
    this.#isBusy = true;
    if (request.message) this.#setState(request.message, 'sending');
    this.#transport.request(request.frame, (reply) => this.#onReply(request, reply));
  }

  /** Drops recovered messages that another tab has sent or discarded since. */
  #dropDiscarded() {
    const dropped = this.#queue.filter(({ message }) => message && this.#recovered.has(message.cid) && !this.#transport.isStored(message.cid));
    this.#queue = this.#queue.filter((request) => !dropped.includes(request));
    for (const { message } of dropped) if (message) this.#remove(message);
  }

  /** Is called when the socket is lost: the client repeats the command that was under way. */
  interrupt() {
    clearTimeout(this.#timer);
    this.#isBusy = false;
    for (const message of this.#pending) if (message.state === 'sending') this.#setState(message, 'waiting');
  }

  /** Removes stored messages up to a seq: the chat has applied their events, or has skipped them by a reset. @param {number} seq */
  onApplied(seq) {
    for (const message of [...this.#pending]) {
      if (message.state === 'stored' && (message.seq ?? Infinity) <= seq) this.#remove(message);
    }
  }

  /** Removes the message whose event has arrived. @param {string | undefined} cid */
  onEvent(cid) {
    const message = this.#pending.find((it) => it.cid === cid);
    if (message) this.#remove(message);
  }

  /** Ends the queue. The storage keeps the messages for the next page; with an error, it does not. @param {SalamError} [error] */
  end(error) {
    this.interrupt();
    this.#isClosed = true;
    if (error) for (const message of [...this.#pending]) this.#remove(message);
    const reason = error ?? new SalamError('closed', 'This chat was closed.');
    for (const { reject } of this.#queue.splice(0)) reject(reason);
  }

  /**
   * Handles the reply to a command.
   * @param {Request} request
   * @param {any} reply
   */
  #onReply(request, reply) {
    if (reply.type === 'error' && reply.retry) {
      if (request.message) this.#setState(request.message, 'waiting');
      this.#timer = setTimeout(() => { this.#isBusy = false; this.flush(); }, reply.retry_after_ms ?? 1000);
      return;
    }
    this.#isBusy = false;
    // The command may have been discarded in between.
    this.#queue = this.#queue.filter((it) => it !== request);
    const { message } = request;
    if (reply.type === 'ok') {
      if (message) this.#onStored(message, reply.seq);
      request.resolve({ seq: reply.seq, at: reply.at, dup: reply.dup ?? false });
    } else {
      const error = new SalamError(reply.code, reply.message, { field: reply.field });
      if (message) this.#onFailed(message, error);
      request.reject(error);
    }
    this.flush();
  }

  /**
   * Stores a message, and queues its command.
   * @param {Pending} message
   * @returns {Promise<Stored>}
   */
  #enqueue(message) {
    this.#pending.push(message);
    this.#save(message);
    const { text, replyTo } = message;
    const stored = this.request({ type: 'send', text, reply_to: replyTo ?? undefined }, message);
    this.#transport.changed(this.#pending);
    return stored;
  }

  /**
   * Is called when the server has stored a message.
   * @param {Pending} message
   * @param {number} seq
   */
  #onStored(message, seq) {
    this.#transport.store(message.cid, null);
    // The message stays in the list until its event arrives. Otherwise the page would not show it for a moment.
    if (this.#transport.hasApplied(seq)) this.#remove(message);
    else {
      message.seq = seq;
      this.#setState(message, 'stored');
    }
  }

  /**
   * Is called when the server has rejected a message finally.
   * @param {Pending} message
   * @param {SalamError} error
   */
  #onFailed(message, error) {
    message.error = error;
    this.#setState(message, 'failed');
    this.#save(message);
  }

  /** Removes a message from the list and from the storage. @param {Pending} message */
  #remove(message) {
    this.#transport.store(message.cid, null);
    this.#pending = this.#pending.filter((it) => it !== message);
    this.#transport.changed(this.#pending);
  }

  /**
   * @param {Pending} message
   * @param {Pending['state']} state
   */
  #setState(message, state) {
    message.state = state;
    this.#transport.changed(this.#pending);
  }

  /** Writes a message to the storage. @param {Pending} message */
  #save(message) {
    const { error } = message;
    const kept = { ...message, error: error && { code: error.code, message: error.message, field: error.field } };
    this.#transport.store(message.cid, JSON.stringify(kept));
  }

  /** Queues the unsent messages of an earlier page. Another tab may do the same: by the `cid`, each is stored once. */
  #recover() {
    const kept = this.#transport.stored().flatMap((text) => {
      try { return [/** @type {Pending} */ (JSON.parse(text))]; } catch { return []; }
    });
    for (const message of kept.sort((a, b) => a.at - b.at)) {
      const { error } = message;
      if (message.state === 'failed') this.#pending.push({ ...message, error: error && new SalamError(error.code, error.message, { field: error.field }) });
      else {
        this.#recovered.add(message.cid);
        this.#enqueue({ ...message, state: 'waiting' }).catch(() => {});
      }
    }
  }
}
