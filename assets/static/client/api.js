// @ts-check
import { Connection } from './connection.js';
import { Session } from './session.js';

/**
 * @typedef {import('./types.js').User} User
 * @typedef {import('./types.js').Role} Role
 * @typedef {import('./types.js').ChatEvent} ChatEvent
 * @typedef {import('./types.js').Message} Message
 * @typedef {import('./types.js').Group} Group
 * @typedef {import('./types.js').Member} Member
 * @typedef {import('./types.js').Ban} Ban
 * @typedef {import('./types.js').NewInvite} NewInvite
 * @typedef {import('./types.js').Invite} Invite
 * @typedef {import('./types.js').Offer} Offer
 * @typedef {import('./types.js').Session} Login
 */

/** One user at one server: the API, and the connection. */
export class Salam extends Session {
  /** @type {Connection | null} */
  #connection = null;

  /** @param {ConstructorParameters<typeof Session>[0]} [options] */
  constructor(options) {
    super(options);
    this.on('signed-out', () => {
      this.#connection?.close();
      this.#connection = null;
    });
  }

  /** The socket's address. */
  get socketUrl() { return `${this._base.replace(/^http/, 'ws')}/ws/`; }

  /** @returns {Promise<User>} */
  me() { return this._call('GET', '/api/me/'); }

  /**
   * Changes the password. All other sessions end.
   * @param {string} old
   * @param {string} replacement
   * @returns {Promise<void>}
   */
  changePassword(old, replacement) { return this._call('PUT', '/api/me/password/', { old, new: replacement }); }

  /**
   * Where you are logged in.
   * @returns {Promise<Login[]>}
   */
  async sessions() { return (await this._call('GET', '/api/sessions/')).results; }

  /**
   * @param {string} id
   * @returns {Promise<void>}
   */
  endSession(id) { return this._call('DELETE', `/api/sessions/${encodeURIComponent(id)}/`); }

  /** @returns {Promise<void>} */
  endOtherSessions() { return this._call('DELETE', '/api/sessions/'); }

  /**
   * Your groups, a page of them; `next` is the cursor of the next page.
   * @param {{ cursor?: string, limit?: number }} [page]
   * @returns {Promise<{ results: Group[], next: string | null }>}
   */
  groups(page = {}) { return this._call('GET', `/api/groups/${query(page)}`); }

  /**
   * @param {string} group
   * @returns {Promise<Group>}
   */
  group(group) { return this._call('GET', `${place(group)}`); }

  /**
   * Says how far you have read, on all of your devices, and tells what is unread then.
   * @param {string} group
   * @param {number} seq
   * @returns {Promise<Group>}
   */
  markRead(group, seq) { return this._call('PUT', `${place(group)}read/`, { seq }); }

  /**
   * Starts a chat of which you are the owner.
   * @param {string} [title]
   * @returns {Promise<string>} the name of the group
   */
  async startChat(title) { return (await this._call('POST', '/api/start-chat/', title ? { title } : {})).group_name; }

  /**
   * @param {string} group
   * @param {string | null} title
   * @returns {Promise<Group>}
   */
  rename(group, title) { return this._call('PATCH', `${place(group)}`, { title }); }

  /**
   * Deletes a group with all that was said in it.
   * @param {string} group
   * @returns {Promise<void>}
   */
  deleteGroup(group) { return this._call('DELETE', `${place(group)}`); }

  /**
   * @param {string} group
   * @param {{ cursor?: string, limit?: number }} [page]
   * @returns {Promise<{ results: Member[], next: string | null }>}
   */
  members(group, page = {}) { return this._call('GET', `${place(group)}members/${query(page)}`); }

  /**
   * @param {string} group
   * @param {string} username
   * @param {Role} role
   * @returns {Promise<Member>}
   */
  setRole(group, username, role) { return this._call('PATCH', member(group, username), { role }); }

  /**
   * Puts somebody out; `ban` keeps them out.
   * @param {string} group
   * @param {string} username
   * @param {{ ban?: boolean }} [how]
   * @returns {Promise<void>}
   */
  kick(group, username, { ban = false } = {}) { return this._call('DELETE', member(group, username) + (ban ? '?ban=true' : '')); }

  /**
   * @param {string} group
   * @returns {Promise<void>}
   */
  leave(group) { return this._call('DELETE', member(group, this.user?.username ?? '')); }

  /**
   * @param {string} group
   * @param {{ cursor?: string, limit?: number }} [page]
   * @returns {Promise<{ results: Ban[], next: string | null }>}
   */
  bans(group, page = {}) { return this._call('GET', `${place(group)}bans/${query(page)}`); }

  /**
   * @param {string} group
   * @param {string} username
   * @returns {Promise<void>}
   */
  liftBan(group, username) { return this._call('DELETE', `${place(group)}bans/${encodeURIComponent(username)}/`); }

  /**
   * Makes an invite. Its code is told this once.
   * @param {string} group
   * @param {{ expires_in?: number, max_uses?: number }} [how] seconds, and people
   * @returns {Promise<NewInvite>}
   */
  invite(group, how = {}) { return this._call('POST', `${place(group)}invites/`, how); }

  /**
   * @param {string} group
   * @param {{ cursor?: string, limit?: number }} [page]
   * @returns {Promise<{ results: Invite[], next: string | null }>}
   */
  invites(group, page = {}) { return this._call('GET', `${place(group)}invites/${query(page)}`); }

  /**
   * @param {string} group
   * @param {number} id
   * @returns {Promise<void>}
   */
  withdrawInvite(group, id) { return this._call('DELETE', `${place(group)}invites/${id}/`); }

  /**
   * What an invite offers.
   * @param {string} code
   * @returns {Promise<Offer>}
   */
  offer(code) { return this._call('GET', `/api/invites/${encodeURIComponent(code)}/`); }

  /**
   * Becomes a member by an invite.
   * @param {string} code
   * @returns {Promise<Group>}
   */
  accept(code) { return this._call('POST', `/api/invites/${encodeURIComponent(code)}/accept/`); }

  /**
   * Messages as they are now, the newest first. A chat that joins after `position` misses nothing.
   * @param {string} group
   * @param {{ before?: number, after?: number, limit?: number }} [window]
   * @returns {Promise<{ results: Message[], position: number }>}
   */
  messages(group, window = {}) { return this._call('GET', `${place(group)}messages/${query(window)}`); }

  /**
   * A part of the log, in order: what a chat is told.
   * @param {string} group
   * @param {{ after?: number, limit?: number }} [window]
   * @returns {Promise<{ results: ChatEvent[], position: number }>}
   */
  events(group, window = {}) { return this._call('GET', `${place(group)}events/${query(window)}`); }

  /** The connection, opened at the first call. It stays until `close`, and comes back by itself. */
  connect() {
    this.#connection ??= new Connection(this);
    this.#connection._start();
    return this.#connection;
  }
}

/** @param {Record<string, string | number | undefined>} params */
function query(params) {
  const given = Object.entries(params).filter(([, value]) => value !== undefined);
  return given.length ? `?${new URLSearchParams(given.map(([name, value]) => [name, String(value)]))}` : '';
}

/**
 * @param {string} group
 * @param {string} username
 */
const member = (group, username) => `${place(group)}members/${encodeURIComponent(username)}/`;

/** @param {string} group */
const place = (group) => `/api/groups/${encodeURIComponent(group)}/`;
