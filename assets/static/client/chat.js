// @ts-check
import { seqNumber, textOf } from './check.js';
import { now } from './clock.js';
import { Emitter } from './emitter.js';
import { SalamError } from './error.js';
import { Outbox } from './outbox.js';
import { Reactions } from './reactions.js';
import { Reading } from './reading.js';

/**
 * @typedef {import('./api.js').Salam} Salam
 * @typedef {import('./connection.js').Connection} Connection
 * @typedef {import('./types.js').ChatEvent} ChatEvent
 * @typedef {import('./types.js').Pending} Pending
 * @typedef {import('./types.js').Reset} Reset
 * @typedef {import('./types.js').Role} Role
 * @typedef {import('./types.js').Stored} Stored
 */

/** Milliseconds between two `typing` frames while the user types. */
const TYPING_INTERVAL = 3_000;

/** Milliseconds after which another member no longer counts as typing, without a new frame. */
const TYPING_TIMEOUT = 7_000;

/** Codes of a lost subscription that mean that the membership has ended. Unsent messages are discarded. */
const MEMBERSHIP_ENDED = ['not_member', 'gone', 'banned'];

/**
 * A subscribed group.
 *
 * | event | meaning |
 * |---|---|
 * | `event` | an event of the log; each event exactly once and in order |
 * | `reset` | the client cannot replay the events that it missed: reload what you show |
 * | `live` | the client has received all events that it missed |
 * | `change` | the title, the role, the unread count … has changed |
 * | `pending` | the list of own messages that are not in the log yet has changed |
 * | `typing`, `presence` | who types, and who is online, has changed |
 * | `read` | another member has read up to a seq |
 * | `lost` | the subscription has ended; the value is the code |
 * @extends {Emitter<{ event: ChatEvent, reset: Reset, live: number, change: Chat, pending: readonly Pending[],
 *   typing: string[], presence: Chat, read: { user: string, seq: number }, lost: string }>}
 */
export class Chat extends Emitter {
  #salam;
  #connection;
  /** The number of `sub` requests for this group that the server has not answered with a `group` frame. */
  #pendingSubscriptions = 0;
  #head = 0;
  #outbox;
  #reactions;
  /** @type {Map<string, ReturnType<typeof setTimeout>>} */
  #typingTimers = new Map();
  #typingSentAt = 0;
  #reading;
  #isClosed = false;

  /**
   * @internal
   * @param {Salam} salam
   * @param {Connection} connection
   * @param {string} group
   * @param {number | null} after
   * @param {string} epoch
   */
  constructor(salam, connection, group, after, epoch) {
    super();
    this.#salam = salam;
    this.#connection = connection;
    /** The name of the group. */
    this.group = group;
    /** The seq of the last event that was applied; null before the first. With `epoch`, the position to resume at. */
    this.last = after;
    /** The epoch to which `last` belongs. */
    this.epoch = epoch;
    /** The error code of a lost subscription; empty before. */
    this.lostBy = '';
    /** Whether the chat has received all events that it missed. */
    this.isLive = false;
    /** @type {string | null} */
    this.title = null;
    /** @type {Role} */
    this.role = 'member';
    /** @type {Set<string> | null} the members that are online; null in a large group */
    this.online = new Set();
    /** The number of members that are online. */
    this.onlineCount = 0;
    this.#reading = new Reading(this.#readingContext());
    const transport = this.#transport();
    this.#outbox = new Outbox(transport);
    this.#reactions = new Reactions(transport);
  }

  /** The seq up to which the user has read, on any device. */
  get readSeq() { return this.#reading.seq; }

  /** The number of messages of other members after `readSeq`. */
  get unread() { return this.#reading.unread; }

  /** The user's messages that are not in the log yet, in order. */
  get pending() { return this.#outbox.pending; }

  /** The other members that are typing. */
  get typists() { return [...this.#typingTimers.keys()]; }

  /**
   * Sends a message. The client repeats the request until the server stores the message or rejects it finally.
   * @param {string} text
   * @param {{ replyTo?: number | null }} [options]
   * @returns {Promise<Stored>}
   */
  async send(text, { replyTo = null } = {}) {
    textOf(text, 'text');
    if (replyTo !== null) seqNumber(replyTo, 'replyTo');
    this.#typingSentAt = 0; // for the others, a message ends the typing
    return this.#outbox.send(text, replyTo);
  }

  /**
   * Sends a failed message again.
   * @param {string} cid
   */
  retry(cid) { this.#outbox.retry(cid); }

  /**
   * Discards a message that is not stored yet. A message whose request is under way stays.
   *
   * The server may have stored the message if the connection was lost during its request.
   * @param {string} cid
   */
  discard(cid) { this.#outbox.discard(cid); }

  /**
   * Edits a message of the user.
   * @param {number} seq
   * @param {string} text
   * @returns {Promise<Stored>}
   */
  async edit(seq, text) { return this.#outbox.request({ type: 'edit', seq: seqNumber(seq), text: textOf(text, 'text') }); }

  /**
   * Deletes a message.
   * @param {number} seq
   * @returns {Promise<Stored>}
   */
  async delete(seq) { return this.#outbox.request({ type: 'delete', seq: seqNumber(seq) }); }

  /**
   * Adds a reaction to a message, or removes it.
   *
   * When an emoji is toggled faster than the server answers, the client sends only the last state. A reaction
   * that is rate limited for more than 10 seconds rejects with a `SalamError` with the code `rate_limited`. Its
   * `retryAfter` is the time until the server accepts the reaction.
   * @param {number} seq
   * @param {string} emoji
   * @param {boolean} [on] false removes the reaction
   * @returns {Promise<Stored>}
   */
  async react(seq, emoji, on = true) { return this.#reactions.react(seqNumber(seq), textOf(emoji, 'emoji'), Boolean(on)); }

  /**
   * Stores that the user has read up to a seq, for all devices.
   * @param {number} seq
   */
  read(seq) { this.#reading.read(seqNumber(seq)); }

  /**
   * Shows to the other members that the user types, or has stopped. You may call it at each key: the client limits
   * the frames.
   * @param {boolean} on
   */
  typing(on) {
    if (on ? now() - this.#typingSentAt < TYPING_INTERVAL : !this.#typingSentAt) return;
    this.#typingSentAt = on ? now() : 0;
    if (this.isLive) this.#connection._send({ type: 'typing', group: this.group, on });
  }

  /**
   * Returns an iterator over the events and resets from now on. It ends when the subscription ends.
   * @returns {AsyncIterableIterator<ChatEvent | Reset>}
   */
  async *[Symbol.asyncIterator]() {
    /** @type {(ChatEvent | Reset)[]} */
    const queue = [];
    let wake = () => {};
    const enqueue = (/** @type {ChatEvent | Reset} */ frame) => { queue.push(frame); wake(); };
    const listeners = [this.on('event', enqueue), this.on('reset', enqueue), this.on('lost', () => wake())];
    const end = () => wake();
    this.#iteratorEnds.add(end);
    try {
      for (;;) {
        const next = queue.shift();
        if (next) yield next;
        else if (this.#isClosed) return;
        else await new Promise((resolve) => { wake = () => resolve(undefined); });
      }
    } finally {
      this.#iteratorEnds.delete(end);
      listeners.forEach((stop) => stop());
    }
  }

  /** Functions that end the iterators of this chat. @type {Set<() => void>} */
  #iteratorEnds = new Set();

  /** Is called when the connection requests a subscription. @internal */
  _onSubscribe() {
    this.isLive = false;
    this.#pendingSubscriptions += 1;
  }

  /** Is called when the server has rejected a subscription for now. @internal */
  _onSubscribeRejected() { this.#pendingSubscriptions = Math.max(0, this.#pendingSubscriptions - 1); }

  /**
   * Takes the state of the group from the API. The frames of a live socket are newer: then it does nothing.
   * @param {import('./types.js').Group} group
   */
  know(group) {
    if (this.isLive) return;
    [this.title, this.role] = [group.title, group.role];
    this.#reading.update(group);
  }

  /** Is called when the socket, or the subscription, is lost for a moment. @internal */
  _onSocketLost() {
    this.isLive = false;
    this.#pendingSubscriptions = 0;
    this.#typingSentAt = 0;
    for (const user of this.typists) this._typing({ user, on: false });
    this.#outbox.interrupt();
    this.#reactions.interrupt();
  }

  /** The number of events between the position and the head. @internal */
  _missingEvents() { return this.last === null ? 0 : Math.max(0, this.#head - this.last); }

  /** Handles the frame that begins a subscription. @internal @param {any} frame */
  _group(frame) {
    this.#pendingSubscriptions = Math.max(0, this.#pendingSubscriptions - 1);
    this.isLive = false;
    this.#head = frame.head;
    [this.title, this.role] = [frame.title, frame.role];
    this.online = frame.online ? new Set(frame.online) : null;
    this.onlineCount = frame.online_count ?? frame.online.length;
    if (frame.mode === 'live') this.#moveTo(frame.head);
    // The server subscribes a new member automatically. Its replay begins with the event of joining.
    if (frame.mode === 'replay' && this.last === null) this.#moveTo(Math.max(0, frame.read - 1), frame.head);
    this.#reading.update(frame);
    this._emit('change', this);
    this._emit('presence', this);
    this.#connection._progress();
  }

  /** Handles an event of the log. @internal @param {ChatEvent} event */
  _event(event) {
    if (this.last !== null && event.seq !== this.last + 1) {
      // An older event was applied already. A gap needs a new subscription, unless one is under way.
      if (event.seq > this.last && this.isLive) this.#connection._subscribe(this);
      return;
    }
    this.#moveTo(event.seq);
    this.#apply(event);
    this._emit('event', event);
    if (!this.isLive) this.#connection._progress();
  }

  /** Handles the frame for a position that cannot be replayed. @internal @param {Reset} frame */
  _reset(frame) {
    this.#moveTo(frame.head);
    this.#outbox.onApplied(frame.head);
    this._emit('reset', frame);
  }

  /** Handles the end of a replay. @internal @param {{ seq: number }} frame */
  _sync({ seq }) {
    if (this.#pendingSubscriptions) return; // it belongs to a subscription that a newer request has replaced
    if (this.last === null) this.#moveTo(seq);
    if (seq > /** @type {number} */ (this.last)) return this.#connection._subscribe(this);
    this.isLive = true;
    this.#connection._progress();
    this._emit('live', seq);
    this.#reading.onLive();
    this.#outbox.onApplied(seq);
    this.#outbox.flush();
    this.#reactions.flush();
  }

  /** Handles a member that types or has stopped. @internal @param {{ user: string, on: boolean }} frame */
  _typing({ user, on }) {
    const was = this.#typingTimers.get(user);
    clearTimeout(was);
    if (on) this.#typingTimers.set(user, setTimeout(() => this._typing({ user, on: false }), TYPING_TIMEOUT));
    else this.#typingTimers.delete(user);
    if (on !== (was !== undefined)) this._emit('typing', this.typists);
  }

  /** Handles a change of presence. @internal @param {{ user?: string, state?: string, count?: number }} frame */
  _presence({ user, state, count }) {
    if (count !== undefined) [this.online, this.onlineCount] = [null, count];
    if (user && this.online) {
      if (state === 'online') this.online.add(user);
      else this.online.delete(user);
      this.onlineCount = this.online.size;
      if (state !== 'online') this._typing({ user, on: false });
    }
    this._emit('presence', this);
  }

  /** Handles the read position of a member. @internal @param {{ user: string, seq: number }} frame */
  _read({ user, seq }) {
    if (user === this.#salam.user?.username) this.#reading.moveTo(seq);
    else this._emit('read', { user, seq });
  }

  /** Handles the end of the subscription. @internal @param {string} code */
  _onLost(code) {
    this.lostBy = code;
    // After another code, a later connection may send the messages.
    if (MEMBERSHIP_ENDED.includes(code)) {
      const error = new SalamError(code, 'You are no longer a member of this group.');
      this.#outbox.end(error);
      this.#reactions.end(error);
    }
    this._close();
    this._emit('lost', code);
  }

  /** Ends the chat; stored messages are kept. @internal */
  _close() {
    this.#isClosed = true;
    this._onSocketLost();
    this.#reading.end();
    this.#outbox.end();
    this.#reactions.end(new SalamError('closed', 'This chat was closed.'));
    this.#iteratorEnds.forEach((end) => end());
  }

  /**
   * Moves the position to a seq of the current epoch.
   * @param {number} seq
   * @param {number} [head]
   */
  #moveTo(seq, head = seq) {
    this.last = seq;
    this.#head = Math.max(this.#head, head);
    this.epoch = this.#connection.epoch;
  }

  /** Applies an event to the state of the chat: title, role, unread count, pending messages. @param {ChatEvent} event */
  #apply({ kind, seq, by, cid, data }) {
    const me = this.#salam.user?.username;
    if (kind === 'message.created') {
      if (by) this._typing({ user: by, on: false });
      if (by === me) {
        this.#reading.moveTo(seq); // the author of a message has read the messages before it
        this.#outbox.onEvent(cid);
      } else this.#reading.onMessage(seq);
    } else if (kind === 'message.deleted') this.#reading.onDeletion(seq, data.seq);
    else if (kind === 'group.updated') this.title = data.title;
    else if (kind === 'member.role' && data.user === me) this.role = data.role;
    else return;
    this._emit('change', this);
  }

  /** Returns the functions that `Reading` needs. @returns {import('./reading.js').ReadingContext} */
  #readingContext() {
    return {
      lastSeq: () => this.last ?? 0,
      sendRead: (seq) => this.isLive && this.#connection._send({ type: 'read', group: this.group, seq }),
      markRead: (seq) => this.#salam.markRead(this.group, seq),
      changed: () => this._emit('change', this),
    };
  }

  /** Returns the functions by which `Outbox` and `Reactions` send. @returns {import('./outbox.js').Transport} */
  #transport() {
    const prefix = `outbox.${this.#salam.user?.id}.${this.group}.`;
    return {
      request: (command, reply) => this.#connection._request({ ...command, group: this.group }, (frame) => {
        // The subscription is lost. The reply to a new subscription shows whether the membership has ended too.
        const isUnsubscribed = frame.type === 'error' && frame.code === 'not_member' && frame.field === 'group';
        if (!isUnsubscribed) return reply(frame);
        this.#outbox.interrupt();
        this.#reactions.interrupt();
        this.#connection._subscribe(this);
      }),
      isOpen: () => this.isLive,
      hasApplied: (seq) => this.last !== null && seq <= this.last,
      store: (key, value) => { this.#salam._store(prefix + key, value); },
      stored: () => this.#salam._stored(prefix),
      isStored: (key) => this.#salam._isStored(prefix + key),
      changed: (pending) => this._emit('pending', pending),
    };
  }
}
