// @ts-check
import { textOf } from './check.js';
import { between, later, now } from './clock.js';
import { Emitter } from './emitter.js';
import { SalamError, refusal } from './error.js';
import { address, query } from './path.js';

/**
 * @typedef {import('./types.js').User} User
 *
 * @typedef {object} CallOptions What a request has besides its method and its path.
 * @property {Record<string, string | number | boolean | undefined>} [query] parameters; those that are undefined
 *   are left out
 * @property {any} [body] an object is sent as JSON; a string, `Blob`, `FormData`, `URLSearchParams` or array of
 *   bytes is sent as it is
 * @property {Record<string, string>} [headers]
 * @property {AbortSignal} [signal] aborts the request
 *
 * @typedef {CallOptions & { method: string, path: string, isAnyType?: boolean }} Ask `isAnyType`: an answer that
 *   is not JSON is given as text
 */

/** Milliseconds that an answer may take. */
const ANSWER_WITHIN = 30_000;

/** Rate limited reads wait this many milliseconds in total at most, and are repeated this often at most. */
const READ_WAITS = 10_000;
const READ_REPEATS = 2;

/** Milliseconds in which another tab, without Web Locks, stores the refresh token that it has just got. */
const STORED_WITHIN = 2_000;

/**
 * Who is logged in, and for how long: buys access tokens before they end, keeps one refresh token for
 * all tabs of a browser, and asks the server in its name.
 *
 * Events: `signed-in` (a user), `signed-out` (why: `here`, `elsewhere`, `expired`).
 * @extends {Emitter<{ 'signed-in': User, 'signed-out': 'here' | 'elsewhere' | 'expired' }>}
 */
export class Session extends Emitter {
  #storage;
  #fetch;
  /** @type {{ access: string, since: number, lasts: number } | null} */
  #token = null;
  /** @type {Promise<string> | null} */
  #renewing = null;
  /** The end of the last `#alone` of this page, for browsers without Web Locks. @type {Promise<unknown>} */
  #turn = Promise.resolve();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #renewal;
  /** @type {User | null} */
  #user = null;
  #isLeaving = false;
  /** The number of listeners and open connections, which have to know what other tabs do. */
  #watchers = 0;
  #isDisposed = false;
  /** Functions that end a request, or the wait before it. @type {Set<() => void>} */
  #ends = new Set();

  /**
   * @param {object} [options]
   * @param {string} [options.base] scheme and host of the server; that of the page, if left out
   * @param {Storage | null} [options.storage] where the refresh token and what is unsent outlive the page:
   *   `localStorage` if left out; null keeps them nowhere
   * @param {typeof fetch} [options.fetch]
   * @param {any} [options.WebSocket] a class with the interface of the browsers' `WebSocket`, for runtimes that
   *   have none, such as the class of the npm package `ws`
   */
  constructor(options = {}) {
    super();
    /** @internal */
    this._base = (options.base ?? globalThis.location?.origin ?? '').replace(/\/+$/, '');
    this.#storage = options.storage === undefined ? ownStorage() : options.storage;
    this.#fetch = options.fetch ?? ((/** @type {string} */ url, /** @type {RequestInit} */ init) => globalThis.fetch(url, init));
    /** @internal @type {typeof WebSocket | undefined} */
    this._WebSocket = options.WebSocket ?? globalThis.WebSocket;
    this.#user = this.#saved()?.user ?? null;
  }

  /** Who is logged in, here or in another tab of this browser; null where nobody is. */
  get user() {
    this.#catchUp();
    return this.#user;
  }

  /**
   * Calls `listener` at each event, until the returned function is called.
   * @template {'signed-in' | 'signed-out'} Name
   * @param {Name} name
   * @param {(value: { 'signed-in': User, 'signed-out': 'here' | 'elsewhere' | 'expired' }[Name]) => void} listener
   * @returns {() => void}
   */
  on(name, listener) {
    this._watch();
    const stop = super.on(name, listener);
    let isOn = true;
    return () => {
      if (!isOn) return;
      isOn = false;
      stop();
      this._unwatch();
    };
  }

  /**
   * Ends the use of this object: closes the connection, aborts requests, and removes all listeners and timers.
   *
   * The user stays logged in: a new object continues with the same session. Requests of this object reject
   * with a `SalamError` with the code `closed`, and `connect` throws one.
   */
  dispose() {
    if (this.#watchers > 0 && !this.#isDisposed) globalThis.removeEventListener?.('storage', this.#look);
    this.#isDisposed = true;
    clearTimeout(this.#renewal);
    for (const end of [...this.#ends]) end();
    this._removeListeners();
  }

  /** @internal */
  get _isDisposed() { return this.#isDisposed; }

  /** Adds a watcher: while there is one, the object notices what other tabs do. @internal */
  _watch() {
    this.#catchUp();
    this.#watchers += 1;
    if (this.#watchers === 1 && !this.#isDisposed) globalThis.addEventListener?.('storage', this.#look);
  }

  /** Removes a watcher. @internal */
  _unwatch() {
    this.#watchers -= 1;
    if (this.#watchers === 0 && !this.#isDisposed) globalThis.removeEventListener?.('storage', this.#look);
  }

  /** Reads the tokens that other tabs have stored, if there is no watcher. */
  #catchUp() { if (this.#watchers === 0 && !this.#isDisposed) this.#look(); }

  /**
   * Creates an account. It is not logged in by that.
   * @param {{ name: string, username: string, password: string }} account
   * @returns {Promise<User>}
   */
  async register(account) { return this.#ask({ method: 'POST', path: '/api/register/', body: account }); }

  /**
   * Logs in, and stays so until `logout`, here or from elsewhere.
   * @param {{ username: string, password: string }} login
   * @returns {Promise<User>}
   */
  async login({ username, password }) {
    const pair = await this.#ask({ method: 'POST', path: '/api/token/', body: { username, password } });
    const user = /** @type {User} */ (await this.#ask({ method: 'GET', path: '/api/me/' }, pair.access));
    if (this.#user && this.#user.id !== user.id) this._signOut('here');
    this.#keep(pair.access);
    this.#user = user;
    this.#save(pair.refresh, user);
    this._emit('signed-in', user);
    return user;
  }

  /**
   * Ends this session on the server, or, when it cannot be reached, here alone. What this user has not
   * sent is forgotten: others may use this browser.
   */
  async logout() {
    this.#isLeaving = true;
    await this._call('POST', '/api/logout/').catch(() => {});
    this._signOut('here');
    this.#isLeaving = false;
  }

  /**
   * Changes the password. All other sessions end. This session continues with new tokens, in all tabs of
   * this browser.
   *
   * The server revokes every older token of this session too. No tab may use the old refresh token
   * between the answer of the server and the moment when the new one is stored, so the method holds the
   * lock of a renewal.
   * @param {string} old
   * @param {string} replacement
   * @returns {Promise<void>}
   */
  async changePassword(old, replacement) {
    const { user } = this;
    await this.#alone(async () => {
      if (!user || this.#user?.id !== user.id) throw new SalamError('unauthorized', 'Nobody is logged in.', { status: 401 });
      const change = { method: 'PUT', path: '/api/me/password/', body: { old, new: replacement } };
      const pair = await this.#called(change, () => this.#buy('expired'));
      // A server of an older version answers without tokens, and the old tokens stay valid.
      if (pair?.access && this.#isOf(user)) {
        this.#keep(pair.access);
        this.#save(pair.refresh, user);
      }
    });
  }

  /** A live access token; a new one where the last is about to end. */
  async accessToken() {
    this.#catchUp();
    return this.#fresh() ?? this._renew();
  }

  /**
   * Sends a request to an endpoint for which this class has no method, such as an endpoint of an extension.
   *
   * The request carries an access token. The client renews a token that is about to expire, and repeats a
   * request once with a new token when the answer is 401. It repeats a `GET` that is rate limited.
   *
   *     const report = await salam.call('GET', path`/api/reports/${id}/`, { query: { lines: 10 } });
   *
   * Build the path with `path`, which encodes names and refuses names that would change the path.
   * @param {string} method such as `GET`
   * @param {string} path begins with a slash
   * @param {CallOptions} [options]
   * @returns {Promise<any>} the answer: parsed JSON, or a text of another type; an empty text for an empty answer
   * @throws {SalamError} if the server refuses the request, or cannot be reached
   */
  async call(method, path, options = {}) {
    const verb = textOf(method, 'method').toUpperCase();
    const { body, query: params = {}, headers, signal } = options;
    if (body !== undefined && (verb === 'GET' || verb === 'HEAD')) throw new TypeError(`A ${verb} request has no body. Pass parameters as \`query\`.`);
    const target = textOf(path, 'path') + (path.includes('?') ? query(params).replace('?', '&') : query(params));
    return this.#called({ method: verb, path: target, body, headers, signal, isAnyType: true }, () => this._renew());
  }

  /** The access token, if it is not about to expire. */
  #fresh() {
    const token = this.#token;
    const isFresh = token && now() - token.since < token.lasts * 0.9 && now() >= token.since;
    return isFresh ? token.access : null;
  }

  /**
   * An answer to a request with an access token; once more with another where it is refused.
   * @internal
   * @param {string} method
   * @param {string} path
   * @param {object} [body]
   * @returns {Promise<any>}
   */
  async _call(method, path, body) { return this.#called({ method, path, body }, () => this._renew()); }

  /**
   * @param {Ask} ask
   * @param {() => Promise<string>} renew gets a new access token
   * @returns {Promise<any>}
   */
  async #called(ask, renew) {
    const me = this.user?.id;
    // Never in the name of somebody else, who may have logged in meanwhile.
    const mine = (/** @type {string} */ access) => {
      if (this.#user?.id !== me) throw new SalamError('unauthorized', 'Somebody else is logged in now.', { status: 401 });
      return access;
    };
    try {
      return await this.#ask(ask, mine(this.#fresh() ?? await renew()));
    } catch (error) {
      if (!(error instanceof SalamError) || error.status !== 401 || this.#user?.id !== me) throw error;
      return this.#ask(ask, mine(await renew()));
    }
  }

  /**
   * Buys a new access token, and a new refresh token with it: one purchase at a time, also among tabs.
   * @internal
   * @param {'elsewhere' | 'expired'} [why] what has happened if none is sold
   * @returns {Promise<string>}
   */
  _renew(why = 'expired') {
    if (!this.#renewing) {
      const renewing = this.#alone(() => this.#buy(why)).finally(() => { if (this.#renewing === renewing) this.#renewing = null; });
      this.#renewing = renewing;
    }
    return this.#renewing;
  }

  /**
   * Runs `act` while nothing else in this browser gets tokens.
   *
   * Browsers have Web Locks with https and on `localhost` only. Without Web Locks two tabs may get tokens
   * at the same time: the server accepts a replaced refresh token for 10 seconds.
   * @template T
   * @param {() => Promise<T>} act
   * @returns {Promise<T>}
   */
  #alone(act) {
    const locks = this.#locks;
    if (locks) return /** @type {Promise<T>} */ (locks.request('salam.refresh', act));
    const turn = this.#turn.then(act);
    this.#turn = turn.catch(() => {});
    return turn;
  }

  /** The locks that all tabs share; undefined without Web Locks, or when no other tab shares the storage. */
  get #locks() { return this.#storage ? globalThis.navigator?.locks : undefined; }

  /** Returns true while this user is logged in, here and in the storage. @param {User} user */
  #isOf(user) { return [this.#user?.id, this.#saved()?.user.id].every((id) => id === user.id); }

  /** What is kept as a token is not one any more, whatever the clock says. @internal */
  _forgetToken() { this.#token = null; }

  /**
   * @param {'elsewhere' | 'expired'} why
   * @returns {Promise<string>}
   */
  async #buy(why) {
    // Without locks another tab may have changed the password, and not stored the new token yet.
    let isSure = !this.#storage || this.#locks !== undefined;
    for (;;) {
      const saved = this.#saved(); // the newest, if another tab has bought one meanwhile
      if (!saved || saved.user.id !== this.#user?.id) {
        this._signOut('elsewhere');
        throw new SalamError('unauthorized', 'Nobody is logged in.', { status: 401 });
      }
      const request = { refresh: saved.refresh, rotate: true };
      const sold = await this.#ask({ method: 'POST', path: '/api/token/refresh/', body: request }).catch((/** @type {SalamError} */ error) => error);
      // Somebody has logged out, or somebody else in, while this was under way.
      if (!this.#isOf(saved.user)) throw new SalamError('unauthorized', 'Somebody else is logged in now.', { status: 401 });
      if (!(sold instanceof SalamError)) {
        this.#keep(sold.access);
        // Without locks another tab may have stored a newer token, of a changed password.
        if (this.#saved()?.refresh === saved.refresh) this.#save(sold.refresh, saved.user);
        return sold.access;
      }
      if (sold.status === 401 && this.#saved()?.refresh !== saved.refresh) continue;
      if (sold.status === 401 && !isSure) {
        isSure = true;
        await this.#pause(STORED_WITHIN);
        continue;
      }
      if (sold.status === 401) this._signOut(why);
      throw sold;
    }
  }

  /**
   * Everything of this session is over, here.
   * @internal
   * @param {'here' | 'elsewhere' | 'expired'} why
   */
  _signOut(why) {
    const user = this.#user;
    if (!user) return;
    // Another tab may have logged in as somebody else, which is theirs.
    if (this.#saved()?.user.id === user.id) this.#remove('session');
    const reason = this.#isLeaving ? 'here' : why;
    if (reason === 'here') for (const kept of ['outbox', 'draft']) this.#forget(`${kept}.${user.id}.`);
    clearTimeout(this.#renewal);
    [this.#token, this.#user, this.#renewing] = [null, null, null];
    this._signedOut();
    this._emit('signed-out', reason);
  }

  /** Is called when a user was signed out, before the listeners. @internal */
  _signedOut() {}

  /** Another tab has changed what is stored. */
  #look = () => {
    const user = this.#saved()?.user ?? null;
    if (this.#user && user?.id !== this.#user.id) this._signOut('elsewhere');
    if (!this.#user && user) {
      this.#user = user;
      this._emit('signed-in', user);
    }
  };

  /**
   * Keeps an access token, and buys the next before it ends. How long it lasts is the difference of
   * two of the server's times, so that a clock here that is wrong does no harm.
   * @param {string} access
   */
  #keep(access) {
    const lasts = 1000 * lifetime(access);
    this.#token = { access, since: now(), lasts };
    clearTimeout(this.#renewal);
    if (this.#isDisposed) return;
    this.#renewal = later(() => this._renew().catch(() => {}), lasts * between(0.7, 0.85));
  }

  /**
   * Sends a request. A read that is rate limited waits and is repeated: a read changes nothing, and the
   * server says when to repeat it.
   * @param {Ask} ask
   * @param {string} [access]
   * @returns {Promise<any>}
   */
  async #ask(ask, access) {
    let left = ask.method === 'GET' ? READ_WAITS : 0;
    for (let repeats = 0; ; repeats += 1) {
      try {
        return await this.#askOnce(ask, access);
      } catch (error) {
        if (!(error instanceof SalamError) || error.status !== 429) throw error;
        // The random part keeps reads that were refused together from coming back together.
        const wait = (error.retryAfter || 1000) + between(0, 500);
        if (repeats === READ_REPEATS || error.retryAfter > left || left <= 0) throw error;
        left -= wait;
        await this.#pause(wait);
      }
    }
  }

  /**
   * The only place where the client calls `fetch`.
   * @param {Ask} ask
   * @param {string} [access]
   * @returns {Promise<any>}
   */
  async #askOnce({ method, path, body, headers: own, signal, isAnyType }, access) {
    if (this.#isDisposed) throw disposed();
    const headers = new Headers({ accept: 'application/json', ...own });
    const isJson = body !== undefined && isPlain(body);
    if (isJson) headers.set('content-type', 'application/json');
    if (access) headers.set('authorization', `Bearer ${access}`);
    const aborter = new AbortController();
    const end = () => aborter.abort();
    const request = { method, headers, body: isJson ? JSON.stringify(body) : body, signal: aborter.signal };
    const url = address(this._base, path);
    signal?.throwIfAborted();
    signal?.addEventListener('abort', end);
    this.#ends.add(end);
    const timer = setTimeout(end, ANSWER_WITHIN);
    try {
      const answer = await this.#fetch(url, request);
      const text = await answer.text();
      if (!answer.ok) throw refusal(answer, text);
      return text && content(answer, text, isAnyType);
    } catch (error) {
      if (error instanceof SalamError) throw error;
      if (this.#isDisposed) throw disposed();
      signal?.throwIfAborted();
      throw new SalamError('offline', 'The server cannot be reached.', { retry: true });
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', end);
      this.#ends.delete(end);
    }
  }

  /**
   * Waits, unless the object is disposed.
   * @param {number} delay milliseconds
   * @returns {Promise<void>}
   */
  #pause(delay) {
    return new Promise((resolve, reject) => {
      if (this.#isDisposed) return reject(disposed());
      const end = () => { clearTimeout(timer); reject(disposed()); };
      const timer = setTimeout(() => { this.#ends.delete(end); resolve(); }, delay);
      this.#ends.add(end);
    });
  }

  /** @type {string | null} what stands in for a storage that there is none of */
  #memory = null;

  /** @returns {{ refresh: string, user: User } | null} */
  #saved() {
    try {
      return JSON.parse((this.#storage ? this.#storage.getItem('salam.session') : this.#memory) ?? 'null');
    } catch { return null; }
  }

  /**
   * @param {string} refresh
   * @param {User} user
   */
  #save(refresh, user) {
    this.#memory = JSON.stringify({ refresh, user });
    // What is stored must not be older than what was bought: then nothing is.
    if (!this._store('session', this.#memory)) {
      this._store('session', null);
      this.#storage = null;
    }
  }

  /** @param {string} key */
  #remove(key) {
    this.#memory = null;
    this._store(key, null);
  }

  /**
   * @internal
   * @param {string} key
   * @param {string | null} value
   * @returns {boolean} false where it is full, or forbidden: then it does not outlive the page
   */
  _store(key, value) {
    try {
      if (value === null) this.#storage?.removeItem(`salam.${key}`);
      else this.#storage?.setItem(`salam.${key}`, value);
      return true;
    } catch { return false; }
  }

  /**
   * What is stored under keys that begin so.
   * @internal
   * @param {string} prefix
   * @returns {string[]}
   */
  _stored(prefix) { return this.#keys(prefix).map((key) => this.#storage?.getItem(key) ?? ''); }

  /** @internal @param {string} key */
  _isStored(key) { return !this.#storage || this.#storage.getItem(`salam.${key}`) !== null; }

  /** @param {string} prefix */
  #forget(prefix) { this.#keys(prefix).forEach((key) => this.#storage?.removeItem(key)); }

  /** @param {string} prefix */
  #keys(prefix) {
    const { length } = this.#storage ?? { length: 0 };
    const keys = Array.from({ length }, (_, index) => this.#storage?.key(index) ?? '');
    return keys.filter((key) => key.startsWith(`salam.${prefix}`));
  }
}

/** The storage of the browser; null if it is forbidden. Then the access throws, or the first read. */
function ownStorage() {
  try {
    const storage = globalThis.localStorage ?? null;
    storage?.getItem('salam.session');
    return storage;
  } catch { return null; }
}

const disposed = () => new SalamError('closed', 'This Salam object was disposed. Make a new one.');

/** Returns true for a body that is sent as JSON. @param {any} body */
function isPlain(body) {
  const kinds = [globalThis.Blob, globalThis.FormData, globalThis.URLSearchParams, globalThis.ReadableStream, ArrayBuffer];
  return typeof body !== 'string' && !ArrayBuffer.isView(body) && !kinds.some((kind) => kind && body instanceof kind);
}

/**
 * Returns what an answer says.
 * @param {Response} answer
 * @param {string} text
 * @param {boolean} [isAnyType] whether a text that is not JSON is an answer
 */
function content(answer, text, isAnyType) {
  const type = answer.headers.get('content-type') ?? '';
  if (isAnyType && !/[/+]json\b/.test(type)) return text;
  try { return JSON.parse(text); } catch {
    // A network with a login page, such as that of a hotel, answers with this page.
    throw new SalamError('offline', 'Something between this client and the server has answered, and not with JSON.', { status: answer.status, retry: true });
  }
}

/**
 * Seconds from the issue of a token to its end; a minute where it does not say.
 * @param {string} token
 */
function lifetime(token) {
  try {
    const { iat, exp } = JSON.parse(atob(token.split('.')[1].replace(/-/g, '+').replace(/_/g, '/')));
    return exp > iat ? exp - iat : 60;
  } catch { return 60; }
}
