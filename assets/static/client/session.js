// @ts-check
import { textOf } from './check.js';
import { between, later, now } from './clock.js';
import { Emitter } from './emitter.js';
import { SalamError, errorOf } from './error.js';
import { address, query } from './path.js';

/**
 * @typedef {import('./types.js').User} User
 *
 * @typedef {object} CallOptions The optional parts of a request.
 * @property {Record<string, string | number | boolean | undefined>} [query] parameters; undefined parameters are
 *   omitted
 * @property {any} [body] an object is sent as JSON; a string, `Blob`, `FormData`, `URLSearchParams` or array of
 *   bytes is sent unchanged
 * @property {Record<string, string>} [headers]
 * @property {AbortSignal} [signal] aborts the request
 *
 * @typedef {CallOptions & { method: string, path: string, isAnyType?: boolean }} ApiRequest With `isAnyType`, a
 *   response that is not JSON is returned as text
 */

/** Milliseconds that a response may take. */
const RESPONSE_TIMEOUT = 30_000;

/** A rate-limited read waits at most so many milliseconds in total, and is repeated at most so many times. */
const MAX_READ_WAIT = 10_000;
const MAX_READ_REPEATS = 2;

/** Milliseconds in which another tab, without Web Locks, stores a refresh token that it has just received. */
const STORE_TIMEOUT = 2_000;

/**
 * The session of the logged-in user, and the requests with its tokens.
 *
 * It exchanges the refresh token for a new access token before the current one expires. All tabs of a browser share
 * one refresh token.
 *
 * | event | meaning |
 * |---|---|
 * | `signed-in` | a user has logged in, here or in another tab; the value is the user |
 * | `signed-out` | the session has ended; the value is the reason: `here`, `elsewhere` or `expired` |
 * @extends {Emitter<{ 'signed-in': User, 'signed-out': 'here' | 'elsewhere' | 'expired' }>}
 */
export class Session extends Emitter {
  #storage;
  #fetch;
  /** @type {{ access: string, since: number, lifetime: number } | null} */
  #token = null;
  /** @type {Promise<string> | null} */
  #renewing = null;
  /** The end of the last `#exclusive` call of this page, for browsers without Web Locks. @type {Promise<unknown>} */
  #lastExclusive = Promise.resolve();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #renewalTimer;
  /** @type {User | null} */
  #user = null;
  #isLoggingOut = false;
  /** The number of listeners and open connections. While there is one, this object watches other tabs. */
  #watchers = 0;
  #isDisposed = false;
  /** Functions that abort a request, or the wait before it. @type {Set<() => void>} */
  #aborts = new Set();

  /**
   * @param {object} [options]
   * @param {string} [options.base] scheme and host of the server; by default those of the page
   * @param {Storage | null} [options.storage] the storage of the refresh token and of unsent messages, which outlives
   *   the page; by default `localStorage`; null stores nothing
   * @param {typeof fetch} [options.fetch]
   * @param {any} [options.WebSocket] a class with the interface of the browsers' `WebSocket`, for runtimes that
   *   do not have one, such as the class of the npm package `ws`
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

  /** The user who is logged in, here or in another tab of this browser; null without one. */
  get user() {
    this.#readStorageUnwatched();
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
    if (this.#watchers > 0 && !this.#isDisposed) globalThis.removeEventListener?.('storage', this.#readStorage);
    this.#isDisposed = true;
    clearTimeout(this.#renewalTimer);
    for (const end of [...this.#aborts]) end();
    this._removeListeners();
  }

  /** @internal */
  get _isDisposed() { return this.#isDisposed; }

  /** Adds a watcher: while there is one, the object notices changes of other tabs. @internal */
  _watch() {
    this.#readStorageUnwatched();
    this.#watchers += 1;
    if (this.#watchers === 1 && !this.#isDisposed) globalThis.addEventListener?.('storage', this.#readStorage);
  }

  /** Removes a watcher. @internal */
  _unwatch() {
    this.#watchers -= 1;
    if (this.#watchers === 0 && !this.#isDisposed) globalThis.removeEventListener?.('storage', this.#readStorage);
  }

  /** Reads the storage for changes of other tabs, if there is no watcher. */
  #readStorageUnwatched() { if (this.#watchers === 0 && !this.#isDisposed) this.#readStorage(); }

  /**
   * Creates an account, without a login.
   * @param {{ name: string, username: string, password: string }} account
   * @returns {Promise<User>}
   */
  async register(account) { return this.#request({ method: 'POST', path: '/api/register/', body: account }); }

  /**
   * Logs in. The session lasts until it expires, or ends here or on another device.
   * @param {{ username: string, password: string }} login
   * @returns {Promise<User>}
   */
  async login({ username, password }) {
    const pair = await this.#request({ method: 'POST', path: '/api/token/', body: { username, password } });
    const user = /** @type {User} */ (await this.#request({ method: 'GET', path: '/api/me/' }, pair.access));
    if (this.#user && this.#user.id !== user.id) this._signOut('here');
    this.#setToken(pair.access);
    this.#user = user;
    this.#save(pair.refresh, user);
    this._emit('signed-in', user);
    return user;
  }

  /**
   * Ends this session on the server. If the server cannot be reached, ends it only here.
   *
   * Deletes the unsent messages of the user from the storage, because another person may use this browser.
   */
  async logout() {
    this.#isLoggingOut = true;
    await this._call('POST', '/api/logout/').catch(() => {});
    this._signOut('here');
    this.#isLoggingOut = false;
  }

  /**
   * Changes the password. All other sessions end. This session continues with new tokens, in all tabs of
   * this browser.
   *
   * The server also revokes all older tokens of this session. No tab may use the old refresh token before the new
   * one is stored. So the method holds the lock of a renewal.
   * @param {string} old
   * @param {string} replacement
   * @returns {Promise<void>}
   */
  async changePassword(old, replacement) {
    const { user } = this;
    await this.#exclusive(async () => {
      if (!user || this.#user?.id !== user.id) throw new SalamError('unauthorized', 'Nobody is logged in.', { status: 401 });
      const change = { method: 'PUT', path: '/api/me/password/', body: { old, new: replacement } };
      const pair = await this.#requestWithToken(change, () => this.#exchange('expired'));
      // A server of an older version answers without tokens, and the old tokens stay valid.
      if (pair?.access && this.#isOf(user)) {
        this.#setToken(pair.access);
        this.#save(pair.refresh, user);
      }
    });
  }

  /** Returns a valid access token. Gets a new one if the current one is about to expire. */
  async accessToken() {
    this.#readStorageUnwatched();
    return this.#fresh() ?? this._refresh();
  }

  /**
   * Sends a request to an endpoint for which this class has no method, such as an endpoint of an extension.
   *
   * The request carries an access token. The client renews a token that is about to expire, and repeats a
   * request once with a new token when the answer is 401. It repeats a `GET` that is rate limited.
   *
   *     const report = await salam.call('GET', path`/api/reports/${id}/`, { query: { lines: 10 } });
   *
   * Build the path with `path`, which encodes names and rejects names that would change the path.
   * @param {string} method such as `GET`
   * @param {string} path begins with a slash
   * @param {CallOptions} [options]
   * @returns {Promise<any>} the body of the response: parsed JSON, or the text of another type; an empty text for an
   *   empty body
   * @throws {SalamError} if the server rejects the request, or cannot be reached
   */
  async call(method, path, options = {}) {
    const verb = textOf(method, 'method').toUpperCase();
    const { body, query: params = {}, headers, signal } = options;
    if (body !== undefined && (verb === 'GET' || verb === 'HEAD')) throw new TypeError(`A ${verb} request has no body. Pass parameters as \`query\`.`);
    const target = textOf(path, 'path') + (path.includes('?') ? query(params).replace('?', '&') : query(params));
    return this.#requestWithToken({ method: verb, path: target, body, headers, signal, isAnyType: true }, () => this._refresh());
  }

  /** Returns the access token, or null if it is about to expire. */
  #fresh() {
    const token = this.#token;
    const isFresh = token && now() - token.since < token.lifetime * 0.9 && now() >= token.since;
    return isFresh ? token.access : null;
  }

  /**
   * Sends a request with an access token. If the server rejects the token, repeats it once with a new token.
   * @internal
   * @param {string} method
   * @param {string} path
   * @param {object} [body]
   * @returns {Promise<any>}
   */
  async _call(method, path, body) { return this.#requestWithToken({ method, path, body }, () => this._refresh()); }

  /**
   * Sends a request with an access token, at most twice.
   * @param {ApiRequest} request
   * @param {() => Promise<string>} renew gets a new access token
   * @returns {Promise<any>}
   */
  async #requestWithToken(request, renew) {
    const me = this.user?.id;
    // Another user may log in before the request is sent. A request must never be sent for this other user.
    const mine = (/** @type {string} */ access) => {
      if (this.#user?.id !== me) throw new SalamError('unauthorized', 'Another user is logged in now.', { status: 401 });
      return access;
    };
    try {
      return await this.#request(request, mine(this.#fresh() ?? await renew()));
    } catch (error) {
      if (!(error instanceof SalamError) || error.status !== 401 || this.#user?.id !== me) throw error;
      return this.#request(request, mine(await renew()));
    }
  }

  /**
   * Exchanges the refresh token for new tokens. Only one exchange runs at a time, also among tabs.
   * @internal
   * @param {'elsewhere' | 'expired'} [reason] the reason of the sign-out if the server rejects the refresh token
   * @returns {Promise<string>}
   */
  _refresh(reason = 'expired') {
    if (!this.#renewing) {
      const renewing = this.#exclusive(() => this.#exchange(reason)).finally(() => { if (this.#renewing === renewing) this.#renewing = null; });
      this.#renewing = renewing;
    }
    return this.#renewing;
  }

  /**
   * Runs `act` while nothing else in this browser changes tokens.
   *
   * Browsers have Web Locks only with https and on `localhost`. Without Web Locks, two tabs may refresh tokens
   * at the same time. The server accepts a replaced refresh token for 10 seconds.
   * @template T
   * @param {() => Promise<T>} act
   * @returns {Promise<T>}
   */
  #exclusive(act) {
    const locks = this.#locks;
    if (locks) return /** @type {Promise<T>} */ (locks.request('salam.refresh', act));
    const turn = this.#lastExclusive.then(act);
    this.#lastExclusive = turn.catch(() => {});
    return turn;
  }

  /** The locks that all tabs share; undefined without Web Locks, or without a shared storage. */
  get #locks() { return this.#storage ? globalThis.navigator?.locks : undefined; }

  /** Returns true if this user is logged in, here and in the storage. @param {User} user */
  #isOf(user) { return [this.#user?.id, this.#saved()?.user.id].every((id) => id === user.id); }

  /** Discards the access token, which the server has rejected. @internal */
  _discardToken() { this.#token = null; }

  /**
   * Exchanges the refresh token. Signs the user out if the server rejects the newest refresh token.
   * @param {'elsewhere' | 'expired'} reason
   * @returns {Promise<string>} the new access token
   */
  async #exchange(reason) {
    // Without locks, another tab may have changed the password and not stored the new token yet.
    let isSure = !this.#storage || this.#locks !== undefined;
    for (;;) {
      const saved = this.#saved(); // another tab may have stored a newer token
      if (!saved || saved.user.id !== this.#user?.id) {
        this._signOut('elsewhere');
        throw new SalamError('unauthorized', 'Nobody is logged in.', { status: 401 });
      }
      const request = { refresh: saved.refresh, rotate: true };
      const result = await this.#request({ method: 'POST', path: '/api/token/refresh/', body: request }).catch((/** @type {SalamError} */ error) => error);
      // During the request, the user may have logged out, or another user may have logged in.
      if (!this.#isOf(saved.user)) throw new SalamError('unauthorized', 'Another user is logged in now.', { status: 401 });
      if (!(result instanceof SalamError)) {
        this.#setToken(result.access);
        // Without locks, another tab may have changed the password and stored a newer token.
        if (this.#saved()?.refresh === saved.refresh) this.#save(result.refresh, saved.user);
        return result.access;
      }
      if (result.status === 401 && this.#saved()?.refresh !== saved.refresh) continue;
      if (result.status === 401 && !isSure) {
        isSure = true;
        await this.#pause(STORE_TIMEOUT);
        continue;
      }
      if (result.status === 401) this._signOut(reason);
      throw result;
    }
  }

  /**
   * Ends the session in this object: discards the tokens, and emits `signed-out`.
   * @internal
   * @param {'here' | 'elsewhere' | 'expired'} reason
   */
  _signOut(reason) {
    const user = this.#user;
    if (!user) return;
    // If another tab has logged in as another user, the stored session belongs to that user.
    if (this.#saved()?.user.id === user.id) this.#remove('session');
    const finalReason = this.#isLoggingOut ? 'here' : reason;
    if (finalReason === 'here') for (const kind of ['outbox', 'draft']) this.#forget(`${kind}.${user.id}.`);
    clearTimeout(this.#renewalTimer);
    [this.#token, this.#user, this.#renewing] = [null, null, null];
    this._signedOut();
    this._emit('signed-out', finalReason);
  }

  /** Is called after a sign-out, before the listeners. @internal */
  _signedOut() {}

  /** Takes the session that another tab has stored. */
  #readStorage = () => {
    const user = this.#saved()?.user ?? null;
    if (this.#user && user?.id !== this.#user.id) this._signOut('elsewhere');
    if (!this.#user && user) {
      this.#user = user;
      this._emit('signed-in', user);
    }
  };

  /**
   * Stores an access token, and schedules its renewal.
   *
   * The lifetime is the difference of two times of the server, so that a wrong clock of this device has no effect.
   * @param {string} access
   */
  #setToken(access) {
    const lifetime = 1000 * tokenLifetime(access);
    this.#token = { access, since: now(), lifetime };
    clearTimeout(this.#renewalTimer);
    if (this.#isDisposed) return;
    this.#renewalTimer = later(() => this._refresh().catch(() => {}), lifetime * between(0.7, 0.85));
  }

  /**
   * Sends a request. Repeats a rate-limited read after the time that the server gives.
   * @param {ApiRequest} request
   * @param {string} [access]
   * @returns {Promise<any>}
   */
  async #request(request, access) {
    let left = request.method === 'GET' ? MAX_READ_WAIT : 0;
    for (let repeats = 0; ; repeats += 1) {
      try {
        return await this.#fetchOnce(request, access);
      } catch (error) {
        if (!(error instanceof SalamError) || error.status !== 429) throw error;
        // The random part spreads the repeats of reads that were rejected at the same moment.
        const wait = (error.retryAfter || 1000) + between(0, 500);
        if (repeats === MAX_READ_REPEATS || error.retryAfter > left || left <= 0) throw error;
        left -= wait;
        await this.#pause(wait);
      }
    }
  }

  /**
   * Sends a request once. This is the only method that calls `fetch`.
   * @param {ApiRequest} request
   * @param {string} [access]
   * @returns {Promise<any>}
   */
  async #fetchOnce({ method, path, body, headers: own, signal, isAnyType }, access) {
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
    this.#aborts.add(end);
    const timer = setTimeout(end, RESPONSE_TIMEOUT);
    try {
      const response = await this.#fetch(url, request);
      const text = await response.text();
      if (!response.ok) throw errorOf(response, text);
      return text && content(response, text, isAnyType);
    } catch (error) {
      if (error instanceof SalamError) throw error;
      if (this.#isDisposed) throw disposed();
      signal?.throwIfAborted();
      throw new SalamError('offline', 'The server cannot be reached.', { retry: true });
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', end);
      this.#aborts.delete(end);
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
      const timer = setTimeout(() => { this.#aborts.delete(end); resolve(); }, delay);
      this.#aborts.add(end);
    });
  }

  /** @type {string | null} the session, when there is no storage */
  #memory = null;

  /** Returns the stored session. @returns {{ refresh: string, user: User } | null} */
  #saved() {
    try {
      return JSON.parse((this.#storage ? this.#storage.getItem('salam.session') : this.#memory) ?? 'null');
    } catch { return null; }
  }

  /**
   * Stores the session.
   * @param {string} refresh
   * @param {User} user
   */
  #save(refresh, user) {
    this.#memory = JSON.stringify({ refresh, user });
    // The storage must not keep an older token than this object has. It is better to store nothing.
    if (!this._store('session', this.#memory)) {
      this._store('session', null);
      this.#storage = null;
    }
  }

  /** Removes the session. @param {string} key */
  #remove(key) {
    this.#memory = null;
    this._store(key, null);
  }

  /**
   * Stores a value, or removes it with null.
   * @internal
   * @param {string} key
   * @param {string | null} value
   * @returns {boolean} false if the storage is full or forbidden
   */
  _store(key, value) {
    try {
      if (value === null) this.#storage?.removeItem(`salam.${key}`);
      else this.#storage?.setItem(`salam.${key}`, value);
      return true;
    } catch { return false; }
  }

  /**
   * Returns the stored values whose keys have a prefix.
   * @internal
   * @param {string} prefix
   * @returns {string[]}
   */
  _stored(prefix) { return this.#keys(prefix).map((key) => this.#storage?.getItem(key) ?? ''); }

  /** Returns true if a value is stored, or if there is no storage. @internal @param {string} key */
  _isStored(key) { return !this.#storage || this.#storage.getItem(`salam.${key}`) !== null; }

  /** Removes the values whose keys have a prefix. @param {string} prefix */
  #forget(prefix) { this.#keys(prefix).forEach((key) => this.#storage?.removeItem(key)); }

  /** Returns the stored keys that have a prefix. @param {string} prefix */
  #keys(prefix) {
    const { length } = this.#storage ?? { length: 0 };
    const keys = Array.from({ length }, (_, index) => this.#storage?.key(index) ?? '');
    return keys.filter((key) => key.startsWith(`salam.${prefix}`));
  }
}

/** Returns the storage of the browser, or null if it is forbidden: the access or the first read throws. */
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
 * Returns the content of a response.
 * @param {Response} response
 * @param {string} text its body
 * @param {boolean} [isAnyType] whether a body that is not JSON is allowed
 */
function content(response, text, isAnyType) {
  const type = response.headers.get('content-type') ?? '';
  if (isAnyType && !/[/+]json\b/.test(type)) return text;
  try { return JSON.parse(text); } catch {
    // A network with a login page, such as the network of a hotel, sends this page as the response.
    throw new SalamError('offline', 'The response is not JSON. It probably comes from a proxy, not from the server.', { status: response.status, retry: true });
  }
}

/**
 * Returns the lifetime of a token in seconds; 60 if the token does not contain it.
 * @param {string} token
 */
function tokenLifetime(token) {
  try {
    const { iat, exp } = JSON.parse(atob(token.split('.')[1].replace(/-/g, '+').replace(/_/g, '/')));
    return exp > iat ? exp - iat : 60;
  } catch { return 60; }
}
