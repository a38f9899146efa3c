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

/** Others are told again that you write after this; and forget that somebody does. Milliseconds. */
const TYPING_EVERY = 3_000;
const TYPING_LASTS = 7_000;

/** Why a group is lost with all that was to be sent there. */
const FOR_GOOD = ['not_member', 'gone', 'banned'];

/**
 * A group that is followed.
 *
 * Events: `event` (of the log, each once and in order), `reset` (load anew what you show), `live` (all
 * that was missed has been told), `change` (title, role, unread …), `pending` (what you have sent and is
 * not in the log yet), `typing`, `presence`, `read` (how far somebody has read), `lost` (why).
 * @extends {Emitter<{ event: ChatEvent, reset: Reset, live: number, change: Chat, pending: readonly Pending[],
 *   typing: string[], presence: Chat, read: { user: string, seq: number }, lost: string }>}
 */
export class Chat extends Emitter {
  #salam;
  #connection;
  /** Subscriptions that the server has not begun to answer. */
  #asked = 0;
  #head = 0;
  #outbox;
  #reactions;
  /** @type {Map<string, ReturnType<typeof setTimeout>>} */
  #typists = new Map();
  #saidTyping = 0;
  #reading;
  #isOver = false;

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
    /** The last event that was applied; null before the first. Kept with `epoch`, it is where to go on. */
    this.last = after;
    /** The life of the database under which `last` was told. */
    this.epoch = epoch;
    /** Why it is lost, once it is: the code of an error. */
    this.lostBy = '';
    /** Whether all that was missed has been told. */
    this.isLive = false;
    /** @type {string | null} */
    this.title = null;
    /** @type {Role} */
    this.role = 'member';
    /** @type {Set<string> | null} who is here; null in a large group */
    this.online = new Set();
    /** How many are here. */
    this.onlineCount = 0;
    this.#reading = new Reading(this.#reader());
    const way = this.#way();
    this.#outbox = new Outbox(way);
    this.#reactions = new Reactions(way);
  }

  /** The last event that you have read, on any device. */
  get readSeq() { return this.#reading.seq; }

  /** Messages of others after that. */
  get unread() { return this.#reading.unread; }

  /** What you have sent and is not in the log yet, in order. */
  get pending() { return this.#outbox.pending; }

  /** Who is writing, besides you. */
  get typists() { return [...this.#typists.keys()]; }

  /**
   * Sends a message: again and again, until the server has stored it or refuses it for good.
   * @param {string} text
   * @param {{ replyTo?: number | null }} [how]
   * @returns {Promise<Stored>}
   */
  async send(text, { replyTo = null } = {}) {
    textOf(text, 'text');
    if (replyTo !== null) seqNumber(replyTo, 'replyTo');
    this.#saidTyping = 0; // a message ends it
    return this.#outbox.send(text, replyTo);
  }

  /**
   * Tries a message again that has failed.
   * @param {string} cid
   */
  retry(cid) { this.#outbox.retry(cid); }

  /**
   * Gives up a message. (One that is being sent stays; one that was being sent when the connection broke
   * may have arrived all the same.)
   * @param {string} cid
   */
  discard(cid) { this.#outbox.discard(cid); }

  /**
   * @param {number} seq of a message of yours
   * @param {string} text
   * @returns {Promise<Stored>}
   */
  async edit(seq, text) { return this.#outbox.request({ type: 'edit', seq: seqNumber(seq), text: textOf(text, 'text') }); }

  /**
   * @param {number} seq
   * @returns {Promise<Stored>}
   */
  async delete(seq) { return this.#outbox.request({ type: 'delete', seq: seqNumber(seq) }); }

  /**
   * Reacts to a message, or takes the reaction back.
   *
   * When an emoji is toggled faster than the server answers, the client sends only the last state. A reaction
   * that is rate limited for more than 10 seconds rejects with a `SalamError` with the code `rate_limited`. Its
   * `retryAfter` is the time until the server accepts the reaction.
   * @param {number} seq
   * @param {string} emoji
   * @param {boolean} [on] false takes it back
   * @returns {Promise<Stored>}
   */
  async react(seq, emoji, on = true) { return this.#reactions.react(seqNumber(seq), textOf(emoji, 'emoji'), Boolean(on)); }

  /**
   * Says that you have read so far, on all of your devices.
   * @param {number} seq
   */
  read(seq) { this.#reading.read(seqNumber(seq)); }

  /**
   * Says that you write, or have stopped; as often as you like.
   * @param {boolean} on
   */
  typing(on) {
    if (on ? now() - this.#saidTyping < TYPING_EVERY : !this.#saidTyping) return;
    this.#saidTyping = on ? now() : 0;
    if (this.isLive) this.#connection._say({ type: 'typing', group: this.group, on });
  }

  /**
   * The events, and resets, from now on; ends when the chat is lost or parted from.
   * @returns {AsyncIterableIterator<ChatEvent | Reset>}
   */
  async *[Symbol.asyncIterator]() {
    /** @type {(ChatEvent | Reset)[]} */
    const told = [];
    let wake = () => {};
    const tell = (/** @type {ChatEvent | Reset} */ frame) => { told.push(frame); wake(); };
    const listeners = [this.on('event', tell), this.on('reset', tell), this.on('lost', () => wake())];
    const end = () => wake();
    this.#ends.add(end);
    try {
      for (;;) {
        const next = told.shift();
        if (next) yield next;
        else if (this.#isOver) return;
        else await new Promise((resolve) => { wake = () => resolve(undefined); });
      }
    } finally {
      this.#ends.delete(end);
      listeners.forEach((stop) => stop());
    }
  }

  /** @type {Set<() => void>} */
  #ends = new Set();

  /** @internal */
  _subscribing() {
    this.isLive = false;
    this.#asked += 1;
  }

  /** The server has not taken a subscription, for now. @internal */
  _notSubscribed() { this.#asked = Math.max(0, this.#asked - 1); }

  /**
   * Takes what the API has said of the group, until the socket says it.
   * @param {import('./types.js').Group} group
   */
  know(group) {
    if (this.isLive) return;
    [this.title, this.role] = [group.title, group.role];
    this.#reading.told(group);
  }

  /** @internal */
  _lostSocket() {
    this.isLive = false;
    this.#asked = 0;
    this.#saidTyping = 0;
    for (const user of this.typists) this._typing({ user, on: false });
    this.#outbox.interrupt();
    this.#reactions.interrupt();
  }

  /** @internal */
  _missing() { return this.last === null ? 0 : Math.max(0, this.#head - this.last); }

  /** @internal @param {any} frame */
  _group(frame) {
    this.#asked = Math.max(0, this.#asked - 1);
    this.isLive = false;
    this.#head = frame.head;
    [this.title, this.role] = [frame.title, frame.role];
    this.online = frame.online ? new Set(frame.online) : null;
    this.onlineCount = frame.online_count ?? frame.online.length;
    if (frame.mode === 'live') this.#at(frame.head);
    // One that appears by itself is told from how its member came in.
    if (frame.mode === 'replay' && this.last === null) this.#at(Math.max(0, frame.read - 1), frame.head);
    this.#reading.told(frame);
    this._emit('change', this);
    this._emit('presence', this);
    this.#connection._progress();
  }

  /** @internal @param {ChatEvent} event */
  _event(event) {
    if (this.last !== null && event.seq !== this.last + 1) {
      // What is old was told already. A jump is healed, unless that is under way.
      if (event.seq > this.last && this.isLive) this.#connection._subscribe(this);
      return;
    }
    this.#at(event.seq);
    this.#apply(event);
    this._emit('event', event);
    if (!this.isLive) this.#connection._progress();
  }

  /** @internal @param {Reset} frame */
  _reset(frame) {
    this.#at(frame.head);
    this.#outbox.reached(frame.head);
    this._emit('reset', frame);
  }

  /** @internal @param {{ seq: number }} frame */
  _sync({ seq }) {
    if (this.#asked) return; // it ends a subscription that a newer one has replaced
    if (this.last === null) this.#at(seq);
    if (seq > /** @type {number} */ (this.last)) return this.#connection._subscribe(this);
    this.isLive = true;
    this.#connection._progress();
    this._emit('live', seq);
    this.#reading.live();
    this.#outbox.reached(seq);
    this.#outbox.flush();
    this.#reactions.flush();
  }

  /** @internal @param {{ user: string, on: boolean }} frame */
  _typing({ user, on }) {
    const was = this.#typists.get(user);
    clearTimeout(was);
    if (on) this.#typists.set(user, setTimeout(() => this._typing({ user, on: false }), TYPING_LASTS));
    else this.#typists.delete(user);
    if (on !== (was !== undefined)) this._emit('typing', this.typists);
  }

  /** @internal @param {{ user?: string, state?: string, count?: number }} frame */
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

  /** @internal @param {{ user: string, seq: number }} frame */
  _read({ user, seq }) {
    if (user === this.#salam.user?.username) this.#reading.to(seq);
    else this._emit('read', { user, seq });
  }

  /** @internal @param {string} code */
  _lost(code) {
    this.lostBy = code;
    // What cannot be sent by this socket may be by another.
    if (FOR_GOOD.includes(code)) {
      const error = new SalamError(code, 'You are no longer a member of this group.');
      this.#outbox.end(error);
      this.#reactions.end(error);
    }
    this._close();
    this._emit('lost', code);
  }

  /** @internal */
  _close() {
    this.#isOver = true;
    this._lostSocket();
    this.#reading.end();
    this.#outbox.end();
    this.#reactions.end(new SalamError('closed', 'This chat is not followed any more.'));
    this.#ends.forEach((end) => end());
  }

  /**
   * @param {number} seq
   * @param {number} [head]
   */
  #at(seq, head = seq) {
    this.last = seq;
    this.#head = Math.max(this.#head, head);
    this.epoch = this.#connection.epoch;
  }

  /** What an event says about you and the group. @param {ChatEvent} event */
  #apply({ kind, seq, by, cid, data }) {
    const me = this.#salam.user?.username;
    if (kind === 'message.created') {
      if (by) this._typing({ user: by, on: false });
      if (by === me) {
        this.#reading.to(seq); // who says something has read what came before
        this.#outbox.arrived(cid);
      } else this.#reading.came(seq);
    } else if (kind === 'message.deleted') this.#reading.deleted(seq, data.seq);
    else if (kind === 'group.updated') this.title = data.title;
    else if (kind === 'member.role' && data.user === me) this.role = data.role;
    else return;
    this._emit('change', this);
  }

  /** @returns {import('./reading.js').Reader} */
  #reader() {
    return {
      last: () => this.last ?? 0,
      say: (seq) => this.isLive && this.#connection._say({ type: 'read', group: this.group, seq }),
      count: (seq) => this.#salam.markRead(this.group, seq),
      changed: () => this._emit('change', this),
    };
  }

  /** @returns {import('./outbox.js').Way} */
  #way() {
    const prefix = `outbox.${this.#salam.user?.id}.${this.group}.`;
    return {
      ask: (request, reply) => this.#connection._ask({ ...request, group: this.group }, (frame) => {
        // The subscription was lost for a moment: whether the membership is too, subscribing tells.
        const isOut = frame.type === 'error' && frame.code === 'not_member' && frame.field === 'group';
        if (!isOut) return reply(frame);
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
