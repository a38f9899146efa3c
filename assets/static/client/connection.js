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

/** Milliseconds that the server may take for a reply, for the frame `hello`, and for the reply to a probe. */
const REPLY_TIMEOUT = 15_000;
const HELLO_TIMEOUT = 10_000;
const PROBE_TIMEOUT = 5_000;

/** Milliseconds after the error of a socket in which most runtimes close the socket. */
const CLOSE_TIMEOUT = 500;

/** Milliseconds after which the client terminates a closed socket of the package `ws`. */
const TERMINATE_AFTER = 2_000;

/**
 * After `FAILED_HANDSHAKES` in a row, the client checks over HTTP whether the server is reachable. After
 * `HTTP_ANSWERS` in a row, the state is `blocked`.
 */
const FAILED_HANDSHAKES = 2;
const HTTP_ANSWERS = 2;

/** Milliseconds without a frame after which a visible page checks whether the socket is still open. */
const PROBE_AFTER = 45_000;

/** The backoff in milliseconds before the first `hello`, which contains the backoff of the server. */
const BACKOFF = { first: [0, 5000], max: 20_000 };

/** Groups in one `sub` frame. A socket may have more groups than one frame should contain. */
const GROUPS_PER_REQUEST = 500;

/**
 * The one socket of a user. It reconnects automatically, and resumes each chat at its position.
 *
 * | event | meaning |
 * |---|---|
 * | `state` | the state of the connection has changed |
 * | `hello` | the socket is open; `groups` has the groups that the user has joined since the last connection |
 * | `chat` | the user has become a member of a group, and the group is subscribed |
 * | `lost` | the subscription of a chat has ended: the membership has ended, or the group was deleted |
 * @extends {Emitter<{ state: State, hello: any, chat: Chat, lost: Chat }>}
 */
export class Connection extends Emitter {
  #salam;
  /** @type {WebSocket | null} */
  #socket = null;
  /** @type {Map<string, Chat>} */
  #chats = new Map();
  /** @type {Map<number, { reply: (frame: any) => void, timer: ReturnType<typeof setTimeout> }>} */
  #requests = new Map();
  #lastId = 0;
  #retries = 0;
  #backoff = BACKOFF;
  #epoch = '';
  #isReady = false;
  /** @type {{ code: number, reconnect: boolean, retry_ms?: number[] } | null} */
  #bye = null;
  /** Renewals of the token since the last `hello`. */
  #renewals = 0;
  /** The number of the current attempt to connect. An older attempt must not continue. */
  #attempt = 0;
  /** The number of failed handshakes in a row. */
  #failedHandshakes = 0;
  /** The number of HTTP answers in a row during these handshakes. */
  #httpAnswers = 0;
  #isWatching = false;
  #limit = Infinity;
  /** @type {Set<string>} groups whose `unsub` the server has not confirmed yet */
  #unsubscribing = new Set();
  /** The time of the last frame. */
  #receivedAt = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #authTimer;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #probeTimer;
  /** @type {Set<Chat>} */
  #subscribing = new Set();
  /** Timers that are cleared with the socket. @type {Set<ReturnType<typeof setTimeout>>} */
  #timers = new Set();
  /** @type {State} */
  #state = { name: 'idle', missing: 0, retryAt: 0, code: 0, blocked: false, error: null };

  /** @param {Salam} salam */
  constructor(salam) {
    super();
    this.#salam = salam;
  }

  /** The state of the connection. */
  get state() { return this.#state; }

  /** The joined chats, by the names of their groups. */
  get chats() { return /** @type {ReadonlyMap<string, Chat>} */ (this.#chats); }

  /** The epoch of the database, to which all seqs belong; empty before the first `hello`. */
  get epoch() { return this.#epoch; }

  /** The user of the connection. */
  get user() { return this.#salam.user; }

  /**
   * Subscribes to a group: from `after` on (0 means from the beginning), or from now on without `after`.
   *
   * To resume a chat, pass its stored `last` as `after`, and its stored `epoch`.
   * @param {string} group
   * @param {{ after?: number | null, epoch?: string }} [from]
   * @returns {Chat}
   * @throws {TypeError} if `group` is not the name of a group, or `after` is not a seq
   */
  join(group, { after = null, epoch = '' } = {}) {
    groupName(group);
    if (after !== null) seqNumber(after, 'after', 0);
    const known = this.#chats.get(group);
    if (known) return known;
    this.#unsubscribing.delete(group);
    const chat = new Chat(this.#salam, this, group, after, epoch);
    this.#chats.set(group, chat);
    this._subscribe(chat);
    return chat;
  }

  /**
   * Unsubscribes from a group. The user stays a member.
   * @param {string} group
   */
  part(group) {
    groupName(group);
    const chat = this.#chats.get(group);
    if (!chat) return;
    this.#chats.delete(group);
    this.#subscribing.delete(chat);
    chat._close();
    this.#unsubscribing.add(group);
    this.#unsubscribe(group);
    this._progress();
  }

  /** Sends `unsub`, until the server confirms it. @param {string} group */
  #unsubscribe(group) {
    if (!this.#isReady || !this.#unsubscribing.has(group)) return;
    this._request({ type: 'unsub', groups: [group] }, (reply) => {
      if (reply.retry) this.#after(reply.retry_after_ms ?? 1000, () => this.#unsubscribe(group));
      else this.#unsubscribing.delete(group);
    });
  }

  /** Reconnects immediately, without the rest of the backoff. */
  retry() {
    if (this.#state.name === 'waiting' || this.#state.name === 'over') this.#open();
  }

  /**
   * Closes the socket and all chats, and removes all timers and all listeners of the page. The storage
   * keeps unsent messages. `salam.connect()` opens the connection again.
   */
  close() {
    this.#dropSocket();
    clearTimeout(this.#timer);
    clearInterval(this.#probeTimer);
    if (this.#isWatching) this.#unwatch();
    for (const chat of this.#chats.values()) chat._close();
    this.#chats.clear();
    this.#subscribing.clear();
    [this.#bye, this.#retries, this.#renewals, this.#failedHandshakes, this.#httpAnswers] = [null, 0, 0, 0, 0];
    this.#setState({ name: 'idle' });
  }

  /** Drops the socket as a lost network would, and reconnects. For tests and demonstrations. */
  drop() {
    if (this.#socket) this.#onLost(1006);
  }

  /** Opens the connection if it is closed. @internal */
  _start() {
    if (this.#state.name !== 'idle') return;
    this.#watch();
    this.#probeTimer = setInterval(this.#probeIfSilent, PROBE_AFTER / 3);
    /** @type {any} */ (this.#probeTimer).unref?.();
    this.#setState({ name: 'connecting' });
    this.#open();
  }

  /** Adds the listeners of the page and of other tabs. */
  #watch() {
    this.#isWatching = true;
    this.#salam._watch();
    globalThis.document?.addEventListener('visibilitychange', this.#wake);
    for (const type of ['online', 'pageshow']) globalThis.addEventListener?.(type, this.#wake);
    globalThis.addEventListener?.('offline', this.#onOffline);
  }

  #unwatch() {
    this.#isWatching = false;
    this.#salam._unwatch();
    globalThis.document?.removeEventListener('visibilitychange', this.#wake);
    for (const type of ['online', 'pageshow']) globalThis.removeEventListener?.(type, this.#wake);
    globalThis.removeEventListener?.('offline', this.#onOffline);
  }

  /** Is called when the page is visible again, or the network is back: ends a wait, or checks the socket. */
  #wake = () => {
    if (globalThis.document?.visibilityState === 'hidden') return;
    if (this.#state.name === 'waiting') {
      clearTimeout(this.#timer);
      // A random delay, because a whole office may get its network back at the same moment.
      this.#timer = setTimeout(() => this.#open(), between(0, 1000));
    } else if (now() - this.#receivedAt > PROBE_TIMEOUT) this.#probe();
  };

  /** Is called when the browser has lost its network. The socket would report this much later. */
  #onOffline = () => {
    const { name } = this.#state;
    if (name === 'connecting' || name === 'catching-up' || name === 'live') this.#onLost(1006);
  };

  /** Checks a silent socket. A browser does not report pings to the page, and a lost network closes no socket. */
  #probeIfSilent = () => {
    const isSeen = globalThis.document?.visibilityState !== 'hidden';
    if (isSeen && this.#isReady && now() - this.#receivedAt > PROBE_AFTER) this.#probe();
  };

  /** Sends a request only to get a reply; without one, the socket is lost. */
  #probe() {
    if (this.#isReady) this._request({ type: 'auth' }, (reply) => this.#scheduleAuth(reply), PROBE_TIMEOUT);
  }

  /** Gets an access token, and opens a new socket. */
  async #open() {
    if (this.#state.name === 'idle') return;
    clearTimeout(this.#timer);
    this.#dropSocket();
    const attempt = this.#attempt;
    this.#setState({ name: 'connecting' });
    /** @type {string} */
    let token;
    try {
      token = await this.#salam.accessToken();
    } catch (error) {
      if (attempt !== this.#attempt) return;
      // Without a login there is no token to connect with.
      if (error instanceof SalamError && error.status === 401) this.close();
      else if (error instanceof SalamError && error.code === 'invalid') this.#setState({ name: 'over', error });
      else this.#reconnectLater(1006);
      return;
    }
    if (attempt !== this.#attempt) return;
    const socket = this.#create(token);
    if (!socket) return;
    this.#socket = socket;
    this.#timer = setTimeout(() => this.#onLost(1006, true), HELLO_TIMEOUT);
    socket.onmessage = ({ data }) => {
      this.#receivedAt = now();
      const frame = JSON.parse(data);
      this.#handlers[frame.type]?.(frame);
    };
    socket.onclose = ({ code }) => this.#onLost(code, !this.#isReady);
    // Some runtimes report an error and never close the socket.
    socket.onerror = () => this.#after(CLOSE_TIMEOUT, () => this.#onLost(1006, !this.#isReady));
  }

  /** Returns a new socket, or null if the runtime cannot create one. Another attempt would fail too. @param {string} token */
  #create(token) {
    const { _WebSocket: Socket, socketUrl } = this.#salam;
    try {
      return new /** @type {typeof WebSocket} */ (Socket)(socketUrl, ['chat.v1.json', `bearer.${token}`]);
    } catch (thrown) {
      const cause = thrown instanceof Error ? thrown.message : String(thrown);
      this.#setState({ name: 'over', error: new SalamError('no_websocket', `The WebSocket to ${socketUrl} cannot be created: ${cause}`) });
      return null;
    }
  }

  /** Calls `act` later, unless the socket is lost before that. @param {number} delay @param {() => void} act */
  #after(delay, act) {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      act();
    }, delay);
    this.#timers.add(timer);
  }

  /** Discards the socket without waiting for its close, which may never happen. */
  #dropSocket() {
    const socket = this.#socket;
    this.#socket = null;
    this.#isReady = false;
    this.#attempt += 1;
    clearTimeout(this.#authTimer);
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    if (socket) discard(socket);
    for (const { timer } of this.#requests.values()) clearTimeout(timer);
    this.#requests.clear();
    this.#unsubscribing.clear();
    for (const chat of this.#chats.values()) chat._onSocketLost();
  }

  /**
   * Handles the end of a socket: renews the token, ends, or reconnects later.
   * @param {number} code the close code
   * @param {boolean} [isHandshakeFailure] whether the handshake has failed
   */
  #onLost(code, isHandshakeFailure = false) {
    const bye = this.#bye;
    this.#bye = null;
    clearTimeout(this.#timer);
    this.#dropSocket();
    if (isHandshakeFailure && !bye) this.#checkHttp();
    const reason = bye?.code ?? code;
    if ((reason === 4401 || reason === 4410) && this.#renewals < 2) this.#renewToken(reason);
    else if (reason === 4401 || reason === 4410) this.#salam._signOut('expired');
    else if (bye ? !bye.reconnect : [1002, 1003, 1007, 1008, 1009, 4409].includes(code)) {
      this.#setState({ name: 'over', code: reason });
    } else this.#reconnectLater(reason, bye?.retry_ms);
  }

  /**
   * Checks whether only WebSockets fail.
   *
   * A browser does not report why a handshake failed. If the server still answers HTTP requests, a proxy in
   * between probably does not support WebSockets.
   */
  async #checkHttp() {
    this.#failedHandshakes += 1;
    if (this.#failedHandshakes < FAILED_HANDSHAKES) return;
    const status = await this.#salam.me().then(() => 200, (/** @type {any} */ error) => error?.status ?? 0);
    if (this.#failedHandshakes === 0) return; // the connection was opened or closed in between
    if (status === 200) this.#httpAnswers += 1;
    else if (status === 0 || status >= 500) this.#httpAnswers = 0;
    this.#setState(this.#state);
  }

  /**
   * Renews the access token after a close, and reconnects.
   *
   * The token may have expired while the session has not, or another tab may have a newer session of the same
   * user. If the session has ended, the renewal signs the user out.
   * @param {number} code
   */
  #renewToken(code) {
    this.#setState({ name: 'connecting' });
    this.#salam._discardToken();
    const reopen = () => {
      this.#renewals += 1;
      this.#open();
    };
    this.#salam._refresh(code === 4410 ? 'elsewhere' : 'expired').then(reopen, () => {
      if (this.#salam.user) this.#reconnectLater(code);
    });
  }

  /**
   * Reconnects after a backoff with full jitter, so that the clients of a lost server do not reconnect all at once.
   * @param {number} code
   * @param {number[]} [first] the range of the first delay. No delay is shorter than its first number.
   */
  #reconnectLater(code, first = this.#backoff.first) {
    if (this.#state.name === 'idle') return;
    const [low, high] = first;
    const longest = this.#retries ? Math.min(this.#backoff.max, this.#backoff.first[1] * 2 ** this.#retries) : 0;
    this.#retries += 1;
    const delay = between(low, Math.max(high, longest));
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#open(), delay);
    this.#setState({ name: 'waiting', retryAt: now() + delay, code });
  }

  /** Sets the state, and emits it if it differs. @param {Partial<State> & { name: State['name'] }} state */
  #setState(state) {
    const blocked = this.#httpAnswers >= HTTP_ANSWERS;
    /** @type {State} */
    const next = { missing: 0, retryAt: 0, code: 0, error: null, ...state, blocked };
    const last = this.#state;
    const fields = /** @type {(keyof State)[]} */ (Object.keys(next));
    if (fields.every((field) => next[field] === last[field])) return;
    this.#state = next;
    this._emit('state', next);
  }

  /** Sets the state by the positions of the chats: `live`, or `catching-up`. @internal */
  _progress() {
    if (!this.#isReady) return;
    const behind = [...this.#chats.values()].filter((chat) => !chat.isLive);
    const missing = behind.reduce((sum, chat) => sum + chat._missingEvents(), 0);
    this.#setState(behind.length ? { name: 'catching-up', missing } : { name: 'live' });
  }

  /** The handlers of frames, by their types. @type {Record<string, (frame: any) => void>} */
  #handlers = {
    hello: (frame) => {
      // Another user has logged in while the socket was opening.
      if (frame.user && frame.user.id !== this.#salam.user?.id) return this.#onLost(1006);
      clearTimeout(this.#timer);
      [this.#epoch, this.#backoff, this.#limit] = [frame.epoch, frame.retry_ms, frame.limits?.groups ?? Infinity];
      [this.#retries, this.#renewals, this.#failedHandshakes, this.#httpAnswers, this.#isReady] = [0, 0, 0, 0, true];
      this.#scheduleAuth(frame);
      for (const chat of this.#chats.values()) this._subscribe(chat);
      this._progress();
      this._emit('hello', frame);
    },
    group: (frame) => {
      if (this.#unsubscribing.has(frame.group)) return;
      const known = this.#chats.get(frame.group);
      // The server subscribes a new member automatically, from the event of joining on.
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
      else if (frame.group) this.#onUnsubscribed(frame);
    },
    bye: (frame) => {
      this.#bye = frame;
      [this.#failedHandshakes, this.#httpAnswers] = [0, 0];
    },
  };

  /** Gives a reply to its request. @param {{ id: number }} frame */
  #reply(frame) {
    const request = this.#requests.get(frame.id);
    if (!request) return;
    this.#requests.delete(frame.id);
    clearTimeout(request.timer);
    request.reply(frame);
  }

  /** Handles the end of a subscription: subscribes again if the server allows it. @param {{ group: string, code: string, retry: boolean }} frame */
  #onUnsubscribed(frame) {
    const chat = this.#chats.get(frame.group);
    if (!chat) return;
    if (frame.retry) {
      chat._onSocketLost();
      this.#after(between(500, 2000), () => { if (this.#chats.get(chat.group) === chat) this._subscribe(chat); });
    } else {
      this.#chats.delete(chat.group);
      this.#subscribing.delete(chat);
      chat._onLost(frame.code);
      this._emit('lost', chat);
    }
    this._progress();
  }

  /** Sends a new access token on this socket before the current one expires. @param {{ auth_expires_in?: number }} frame */
  #scheduleAuth({ auth_expires_in: lasts }) {
    if (lasts === undefined) return;
    clearTimeout(this.#authTimer);
    const again = async () => {
      const token = await this.#salam.accessToken().catch(() => undefined);
      if (!this.#isReady) return;
      this._request({ type: 'auth', token }, (reply) => {
        if (reply.retry) this.#authTimer = later(again, reply.retry_after_ms ?? 1000);
        else this.#scheduleAuth(reply);
      });
    };
    // A timer of more than 24 days would fire immediately.
    this.#authTimer = later(again, 1000 * Math.min(lasts * between(0.7, 0.8), 86_400));
  }

  /**
   * Sends a request. The socket is lost if the reply does not arrive in time.
   * @internal
   * @param {object} request
   * @param {(reply: any) => void} reply is called once, unless the socket is lost before
   * @param {number} [timeout] milliseconds
   */
  _request(request, reply, timeout = REPLY_TIMEOUT) {
    const id = ++this.#lastId;
    this.#requests.set(id, { reply, timer: setTimeout(() => this.#onLost(1006), timeout) });
    this._send({ ...request, id });
  }

  /** Sends a frame. @internal @param {object} frame @returns {boolean} false if the socket is not open */
  _send(frame) {
    const socket = this.#socket;
    const isOpen = socket !== null && this.#isReady && socket.readyState === 1;
    if (isOpen) socket.send(JSON.stringify(frame));
    return isOpen;
  }

  /** Subscribes a chat from its position. Chats of the same moment share one request. @internal @param {Chat} chat */
  _subscribe(chat) {
    if (!this.#isReady) return;
    chat._onSubscribe();
    this.#subscribing.add(chat);
    if (this.#subscribing.size === 1) queueMicrotask(() => this.#subscribe());
  }

  /** Sends the `sub` frames of the waiting chats. */
  #subscribe() {
    // Chats beyond the limit of the socket are rejected here. The server would reject the whole request.
    const allowed = new Set([...this.#chats.values()].slice(0, this.#limit));
    const [chats, tooMany] = [[...this.#subscribing].filter((chat) => allowed.has(chat)), [...this.#subscribing].filter((chat) => !allowed.has(chat))];
    this.#subscribing.clear();
    for (const { group } of tooMany) this.#onUnsubscribed({ group, code: 'limit_exceeded', retry: false });
    // A position is only valid in its own epoch.
    const epochs = new Set(chats.map((chat) => chat.epoch));
    for (const epoch of epochs) {
      const sameEpoch = chats.filter((chat) => chat.epoch === epoch);
      for (let at = 0; at < sameEpoch.length; at += GROUPS_PER_REQUEST) this.#sendSub(sameEpoch.slice(at, at + GROUPS_PER_REQUEST), epoch);
    }
  }

  /**
   * Sends one `sub` frame.
   * @param {Chat[]} chats
   * @param {string} epoch
   */
  #sendSub(chats, epoch) {
    if (!this.#isReady) return;
    const groups = chats.map(({ group, last }) => (last === null ? { group } : { group, after: last }));
    this._request({ type: 'sub', epoch: epoch || undefined, groups }, (reply) => {
      if (reply.type === 'ok') {
        for (const { group, code } of reply.refused ?? []) this.#onUnsubscribed({ group, code, retry: false });
      } else if (reply.retry) {
        for (const chat of chats) chat._onSubscribeRejected();
        const again = () => chats.forEach((chat) => this.#chats.get(chat.group) === chat && this._subscribe(chat));
        this.#after(reply.retry_after_ms ?? 1000, again);
      } else {
        for (const { group } of chats) this.#onUnsubscribed({ group, code: reply.code, retry: false });
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
  // Such a socket also waits 30 s for the close of the other end, and keeps the program running for this time.
  const { terminate } = /** @type {any} */ (socket);
  if (terminate) later(() => terminate.call(socket), TERMINATE_AFTER);
}
