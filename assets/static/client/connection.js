// @ts-check
import { Chat } from './chat.js';
import { groupName, seqNumber } from './check.js';
import { between, later, now } from './clock.js';
import { Emitter } from './emitter.js';
import { SalamError } from './error.js';

/**
 * @typedef {import('./api.js').Salam} Salam
 * @typedef {import('./types.js').State} State
 */

/** Milliseconds that the server may take for a reply, to greet, and to show that it is there. */
const REPLY_WITHIN = 15_000;
const GREETED_WITHIN = 10_000;
const PROBED_WITHIN = 5_000;

/** Milliseconds after the error of a socket in which most runtimes close the socket. */
const CLOSED_WITHIN = 500;

/** Milliseconds after which the client destroys a closed socket of the package `ws`. */
const DESTROYED_AFTER = 2_000;

/**
 * After this many failed handshakes in a row, the client asks over HTTP whether the server is reachable. After
 * this many answers in a row, the state is `blocked`.
 */
const HANDSHAKES = 2;
const ANSWERS = 2;

/** Milliseconds of silence after which a page that is looked at asks whether the socket still lives. */
const PROBE_AFTER = 45_000;

/** When to come back, in milliseconds, before a `hello` has said so. */
const RETRY = { first: [0, 5000], max: 20_000 };

/** Groups in one request to subscribe: as many as a socket may have are more than a frame should hold. */
const GROUPS_AT_ONCE = 500;

/**
 * The one socket of a user: comes back by itself, and has each chat go on where it was.
 *
 * Events: `state` (what it is doing), `hello` (it is open, again: groups of which you became a member
 * meanwhile are in `groups`), `chat` (a chat that has appeared, of a group of which you became a member),
 * `lost` (a chat of which you are no member any more, or that is gone).
 * @extends {Emitter<{ state: State, hello: any, chat: Chat, lost: Chat }>}
 */
export class Connection extends Emitter {
  #salam;
  /** @type {WebSocket | null} */
  #socket = null;
  /** @type {Map<string, Chat>} */
  #chats = new Map();
  /** @type {Map<number, { reply: (frame: any) => void, timer: ReturnType<typeof setTimeout> }>} */
  #asked = new Map();
  #ids = 0;
  #tries = 0;
  #retry = RETRY;
  #epoch = '';
  #greeted = false;
  /** @type {{ code: number, reconnect: boolean, retry_ms?: number[] } | null} */
  #bye = null;
  #refused = 0;
  /** The number of the current attempt to connect: an older attempt must not go on. */
  #attempt = 0;
  /** Handshakes in a row that failed, without a frame of the server. */
  #unmet = 0;
  /** Answers in a row of the server over HTTP, during these handshakes. */
  #answers = 0;
  #isWatching = false;
  #limit = Infinity;
  /** @type {Set<string>} groups that are followed no more, until the server knows */
  #parted = new Set();
  #heard = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #authTimer;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #pulse;
  /** @type {Set<Chat>} */
  #subscribing = new Set();
  /** Timers that end with the socket. @type {Set<ReturnType<typeof setTimeout>>} */
  #timers = new Set();
  /** @type {State} */
  #state = { name: 'idle', missing: 0, retryAt: 0, code: 0, blocked: false, error: null };

  /** @param {Salam} salam */
  constructor(salam) {
    super();
    this.#salam = salam;
  }

  /** What it is doing. */
  get state() { return this.#state; }

  /** The chats that are joined, by the names of their groups. */
  get chats() { return /** @type {ReadonlyMap<string, Chat>} */ (this.#chats); }

  /** The life of the database in which numbers mean something now; empty before the first `hello`. */
  get epoch() { return this.#epoch; }

  /** Whose it is. */
  get user() { return this.#salam.user; }

  /**
   * Follows a group: from `after` on (0: from its beginning), or from now on, if left out. Whoever has
   * kept `last` and `epoch` of a chat goes on there.
   * @param {string} group
   * @param {{ after?: number | null, epoch?: string }} [from]
   * @returns {Chat}
   * @throws {TypeError} for something that is not the name of a group, or for an `after` that is not a seq
   */
  join(group, { after = null, epoch = '' } = {}) {
    groupName(group);
    if (after !== null) seqNumber(after, 'after', 0);
    const known = this.#chats.get(group);
    if (known) return known;
    this.#parted.delete(group);
    const chat = new Chat(this.#salam, this, group, after, epoch);
    this.#chats.set(group, chat);
    this._subscribe(chat);
    return chat;
  }

  /**
   * Follows a group no more. (You are still a member.)
   * @param {string} group
   */
  part(group) {
    groupName(group);
    const chat = this.#chats.get(group);
    if (!chat) return;
    this.#chats.delete(group);
    this.#subscribing.delete(chat);
    chat._close();
    this.#parted.add(group);
    this.#unsubscribe(group);
    this._progress();
  }

  /** @param {string} group */
  #unsubscribe(group) {
    if (!this.#greeted || !this.#parted.has(group)) return;
    this._ask({ type: 'unsub', groups: [group] }, (reply) => {
      if (reply.retry) this.#after(reply.retry_after_ms ?? 1000, () => this.#unsubscribe(group));
      else this.#parted.delete(group);
    });
  }

  /** Tries at once, whatever it waits for. */
  retry() {
    if (this.#state.name === 'waiting' || this.#state.name === 'over') this.#open();
  }

  /**
   * Closes the socket, parts from all chats, and removes all timers and all listeners of the page. The storage
   * keeps unsent messages. `salam.connect()` opens the connection again.
   */
  close() {
    this.#drop();
    clearTimeout(this.#timer);
    clearInterval(this.#pulse);
    if (this.#isWatching) this.#unwatch();
    for (const chat of this.#chats.values()) chat._close();
    this.#chats.clear();
    this.#subscribing.clear();
    [this.#bye, this.#tries, this.#refused, this.#unmet, this.#answers] = [null, 0, 0, 0, 0];
    this.#become({ name: 'idle' });
  }

  /**
   * Drops the socket as a network would, and comes back: for tests, and to see what happens.
   */
  drop() {
    if (this.#socket) this.#lost(1006);
  }

  /** @internal */
  _start() {
    if (this.#state.name !== 'idle') return;
    this.#watch();
    this.#pulse = setInterval(this.#listen, PROBE_AFTER / 3);
    /** @type {any} */ (this.#pulse).unref?.();
    this.#become({ name: 'connecting' });
    this.#open();
  }

  #watch() {
    this.#isWatching = true;
    this.#salam._watch();
    globalThis.document?.addEventListener('visibilitychange', this.#look);
    for (const type of ['online', 'pageshow']) globalThis.addEventListener?.(type, this.#look);
    globalThis.addEventListener?.('offline', this.#offline);
  }

  #unwatch() {
    this.#isWatching = false;
    this.#salam._unwatch();
    globalThis.document?.removeEventListener('visibilitychange', this.#look);
    for (const type of ['online', 'pageshow']) globalThis.removeEventListener?.(type, this.#look);
    globalThis.removeEventListener?.('offline', this.#offline);
  }

  /** Somebody looks at the page again, or the network is back: nothing is waited for. */
  #look = () => {
    if (globalThis.document?.visibilityState === 'hidden') return;
    if (this.#state.name === 'waiting') {
      clearTimeout(this.#timer);
      // Not all at once, where a whole office gets its network back.
      this.#timer = setTimeout(() => this.#open(), between(0, 1000));
    } else if (now() - this.#heard > PROBED_WITHIN) this.#probe();
  };

  /** The browser has lost its network. The socket would notice this much later. */
  #offline = () => {
    const { name } = this.#state;
    if (name === 'connecting' || name === 'catching-up' || name === 'live') this.#lost(1006);
  };

  /** A browser tells no page of pings, and a network that is gone says nothing. */
  #listen = () => {
    const isSeen = globalThis.document?.visibilityState !== 'hidden';
    if (isSeen && this.#greeted && now() - this.#heard > PROBE_AFTER) this.#probe();
  };

  #probe() {
    if (this.#greeted) this._ask({ type: 'auth' }, (reply) => this.#live(reply), PROBED_WITHIN);
  }

  async #open() {
    if (this.#state.name === 'idle') return;
    clearTimeout(this.#timer);
    this.#drop();
    const attempt = this.#attempt;
    this.#become({ name: 'connecting' });
    /** @type {string} */
    let token;
    try {
      token = await this.#salam.accessToken();
    } catch (error) {
      if (attempt !== this.#attempt) return;
      // Who is not logged in (any more) has nothing to connect with.
      if (error instanceof SalamError && error.status === 401) this.close();
      else if (error instanceof SalamError && error.code === 'invalid') this.#become({ name: 'over', error });
      else this.#wait(1006);
      return;
    }
    if (attempt !== this.#attempt) return;
    const socket = this.#create(token);
    if (!socket) return;
    this.#socket = socket;
    this.#timer = setTimeout(() => this.#lost(1006, true), GREETED_WITHIN);
    socket.onmessage = ({ data }) => {
      this.#heard = now();
      const frame = JSON.parse(data);
      this.#hear[frame.type]?.(frame);
    };
    socket.onclose = ({ code }) => this.#lost(code, !this.#greeted);
    // Some runtimes report an error and never close the socket.
    socket.onerror = () => this.#after(CLOSED_WITHIN, () => this.#lost(1006, !this.#greeted));
  }

  /** A new socket; null if the runtime refuses to create it. Another attempt would fail too. @param {string} token */
  #create(token) {
    const { _WebSocket: Socket, socketUrl } = this.#salam;
    try {
      return new /** @type {typeof WebSocket} */ (Socket)(socketUrl, ['chat.v1.json', `bearer.${token}`]);
    } catch (thrown) {
      const why = thrown instanceof Error ? thrown.message : String(thrown);
      this.#become({ name: 'over', error: new SalamError('no_websocket', `The WebSocket to ${socketUrl} cannot be created: ${why}`) });
      return null;
    }
  }

  /** Calls `act` later, unless the socket is lost before. @param {number} delay @param {() => void} act */
  #after(delay, act) {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      act();
    }, delay);
    this.#timers.add(timer);
  }

  /** Lets the socket go without waiting for its end, which may never come. */
  #drop() {
    const socket = this.#socket;
    this.#socket = null;
    this.#greeted = false;
    this.#attempt += 1;
    clearTimeout(this.#authTimer);
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    if (socket) discard(socket);
    const asked = [...this.#asked.values()];
    this.#asked.clear();
    this.#parted.clear();
    for (const { timer } of asked) clearTimeout(timer);
    for (const chat of this.#chats.values()) chat._lostSocket();
  }

  /**
   * @param {number} code
   * @param {boolean} [isUnmet] whether the handshake has failed
   */
  #lost(code, isUnmet = false) {
    const bye = this.#bye;
    this.#bye = null;
    clearTimeout(this.#timer);
    this.#drop();
    if (isUnmet && !bye) this.#inquire();
    const why = bye?.code ?? code;
    if ((why === 4401 || why === 4410) && this.#refused < 2) this.#renew(why);
    else if (why === 4401 || why === 4410) this.#salam._signOut('expired');
    else if (bye ? !bye.reconnect : [1002, 1003, 1007, 1008, 1009, 4409].includes(code)) {
      this.#become({ name: 'over', code: why });
    } else this.#wait(why, bye?.retry_ms);
  }

  /**
   * Finds out whether only WebSockets fail.
   *
   * A browser does not tell why a handshake failed. If the server answers HTTP requests meanwhile, a proxy in
   * between probably does not pass WebSockets.
   */
  async #inquire() {
    this.#unmet += 1;
    if (this.#unmet < HANDSHAKES) return;
    const status = await this.#salam.me().then(() => 200, (/** @type {any} */ error) => error?.status ?? 0);
    if (this.#unmet === 0) return; // it is connected, or closed
    if (status === 200) this.#answers += 1;
    else if (status === 0 || status >= 500) this.#answers = 0;
    this.#become(this.#state);
  }

  /**
   * The token, not the session, may be at its end; or another tab has a newer session of the same user.
   * Whoever sells tokens knows, and says so if it is over.
   * @param {number} why
   */
  #renew(why) {
    this.#become({ name: 'connecting' });
    this.#salam._forgetToken();
    const sold = () => {
      this.#refused += 1;
      this.#open();
    };
    this.#salam._renew(why === 4410 ? 'elsewhere' : 'expired').then(sold, () => {
      if (this.#salam.user) this.#wait(why);
    });
  }

  /**
   * Full jitter, so that those who lose one server do not come back all at once.
   * @param {number} code
   * @param {number[]} [first]
   */
  #wait(code, first = this.#retry.first) {
    if (this.#state.name === 'idle') return;
    const [low, high] = this.#tries ? [0, Math.min(this.#retry.max, this.#retry.first[1] * 2 ** this.#tries)] : first;
    this.#tries += 1;
    const delay = between(low, high);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#open(), delay);
    this.#become({ name: 'waiting', retryAt: now() + delay, code });
  }

  /** @param {Partial<State> & { name: State['name'] }} state */
  #become(state) {
    const blocked = this.#answers >= ANSWERS;
    /** @type {State} */
    const next = { missing: 0, retryAt: 0, code: 0, error: null, ...state, blocked };
    const last = this.#state;
    const fields = /** @type {(keyof State)[]} */ (Object.keys(next));
    if (fields.every((field) => next[field] === last[field])) return;
    this.#state = next;
    this._emit('state', next);
  }

  /** What comes of how far the chats have got. @internal */
  _progress() {
    if (!this.#greeted) return;
    const behind = [...this.#chats.values()].filter((chat) => !chat.isLive);
    const missing = behind.reduce((sum, chat) => sum + chat._missing(), 0);
    this.#become(behind.length ? { name: 'catching-up', missing } : { name: 'live' });
  }

  /** @type {Record<string, (frame: any) => void>} */
  #hear = {
    hello: (frame) => {
      // Somebody else has logged in while this was being opened.
      if (frame.user && frame.user.id !== this.#salam.user?.id) return this.#lost(1006);
      clearTimeout(this.#timer);
      [this.#epoch, this.#retry, this.#limit] = [frame.epoch, frame.retry_ms, frame.limits?.groups ?? Infinity];
      [this.#tries, this.#refused, this.#unmet, this.#answers, this.#greeted] = [0, 0, 0, 0, true];
      this.#live(frame);
      for (const chat of this.#chats.values()) this._subscribe(chat);
      this._progress();
      this._emit('hello', frame);
    },
    group: (frame) => {
      if (this.#parted.has(frame.group)) return;
      const known = this.#chats.get(frame.group);
      // A group of which you became a member appears by itself, from that event on.
      const chat = known ?? new Chat(this.#salam, this, frame.group, null, '');
      this.#chats.set(frame.group, chat);
      chat._group(frame);
      if (!known) this._emit('chat', chat);
    },
    event: (frame) => this.#chats.get(frame.group)?._event(frame),
    reset: (frame) => this.#chats.get(frame.group)?._reset(frame),
    sync: (frame) => this.#chats.get(frame.group)?._sync(frame),
    typing: (frame) => this.#chats.get(frame.group)?._typing(frame),
    presence: (frame) => this.#chats.get(frame.group)?._presence(frame),
    read: (frame) => this.#chats.get(frame.group)?._read(frame),
    ok: (frame) => this.#reply(frame),
    error: (frame) => {
      if (frame.id !== null) this.#reply(frame);
      else if (frame.group) this.#outOf(frame);
    },
    bye: (frame) => {
      this.#bye = frame;
      [this.#unmet, this.#answers] = [0, 0];
    },
  };

  /** @param {{ id: number }} frame */
  #reply(frame) {
    const asked = this.#asked.get(frame.id);
    if (!asked) return;
    this.#asked.delete(frame.id);
    clearTimeout(asked.timer);
    asked.reply(frame);
  }

  /** The subscription of a group has ended. @param {{ group: string, code: string, retry: boolean }} frame */
  #outOf(frame) {
    const chat = this.#chats.get(frame.group);
    if (!chat) return;
    if (frame.retry) {
      chat._lostSocket();
      this.#after(between(500, 2000), () => { if (this.#chats.get(chat.group) === chat) this._subscribe(chat); });
    } else {
      this.#chats.delete(chat.group);
      this.#subscribing.delete(chat);
      chat._lost(frame.code);
      this._emit('lost', chat);
    }
    this._progress();
  }

  /** How long the socket lives: shows a token well before its end. @param {{ auth_expires_in?: number }} frame */
  #live({ auth_expires_in: lasts }) {
    if (lasts === undefined) return;
    clearTimeout(this.#authTimer);
    const again = async () => {
      const token = await this.#salam.accessToken().catch(() => undefined);
      if (!this.#greeted) return;
      this._ask({ type: 'auth', token }, (reply) => {
        if (reply.retry) this.#authTimer = later(again, reply.retry_after_ms ?? 1000);
        else this.#live(reply);
      });
    };
    // A timer of more than 24 days would go off at once.
    this.#authTimer = later(again, 1000 * Math.min(lasts * between(0.7, 0.8), 86_400));
  }

  /**
   * Asks for something on this socket, which is given up when it does not answer.
   * @internal
   * @param {object} request
   * @param {(reply: any) => void} reply called once, unless the socket is lost before
   * @param {number} [within] milliseconds
   */
  _ask(request, reply, within = REPLY_WITHIN) {
    const id = ++this.#ids;
    this.#asked.set(id, { reply, timer: setTimeout(() => this.#lost(1006), within) });
    this._say({ ...request, id });
  }

  /** @internal @param {object} frame @returns {boolean} whether there was a way */
  _say(frame) {
    const socket = this.#socket;
    const isOpen = socket !== null && this.#greeted && socket.readyState === 1;
    if (isOpen) socket.send(JSON.stringify(frame));
    return isOpen;
  }

  /** Has a chat told from where it is; those of one moment are asked for together. @internal @param {Chat} chat */
  _subscribe(chat) {
    if (!this.#greeted) return;
    chat._subscribing();
    this.#subscribing.add(chat);
    if (this.#subscribing.size === 1) queueMicrotask(() => this.#subscribe());
  }

  #subscribe() {
    // Of more than a socket may have, those that were joined last are refused, and no others with them.
    const places = new Set([...this.#chats.values()].slice(0, this.#limit));
    const [chats, tooMany] = [[...this.#subscribing].filter((chat) => places.has(chat)), [...this.#subscribing].filter((chat) => !places.has(chat))];
    this.#subscribing.clear();
    for (const { group } of tooMany) this.#outOf({ group, code: 'limit_exceeded', retry: false });
    // `after` means something in its own epoch alone.
    const epochs = new Set(chats.map((chat) => chat.epoch));
    for (const epoch of epochs) {
      const those = chats.filter((chat) => chat.epoch === epoch);
      for (let at = 0; at < those.length; at += GROUPS_AT_ONCE) this.#sub(those.slice(at, at + GROUPS_AT_ONCE), epoch);
    }
  }

  /**
   * @param {Chat[]} chats
   * @param {string} epoch
   */
  #sub(chats, epoch) {
    if (!this.#greeted) return;
    const groups = chats.map(({ group, last }) => (last === null ? { group } : { group, after: last }));
    this._ask({ type: 'sub', epoch: epoch || undefined, groups }, (reply) => {
      if (reply.type === 'ok') {
        for (const { group, code } of reply.refused ?? []) this.#outOf({ group, code, retry: false });
      } else if (reply.retry) {
        for (const chat of chats) chat._notSubscribed();
        const again = () => chats.forEach((chat) => this.#chats.get(chat.group) === chat && this._subscribe(chat));
        this.#after(reply.retry_after_ms ?? 1000, again);
      } else {
        for (const { group } of chats) this.#outOf({ group, code: reply.code, retry: false });
      }
    });
    this._progress();
  }
}

/**
 * Closes a socket, and ignores its further events.
 * @param {WebSocket} socket
 */
function discard(socket) {
  socket.onmessage = socket.onclose = null;
  // A socket of the package `ws` throws an error for which it has no listener.
  socket.onerror = () => {};
  socket.close();
  // It also waits 30 s for the other end to close, and keeps the program running meanwhile.
  const { terminate } = /** @type {any} */ (socket);
  if (terminate) later(() => terminate.call(socket), DESTROYED_AFTER);
}
