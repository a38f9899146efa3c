// @ts-check
import { Connection } from './connection.js';
import { SalamError } from './error.js';
import { path, query } from './path.js';
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
   * Where you are logged in.
   * @returns {Promise<Login[]>}
   */
  async sessions() { return (await this._call('GET', '/api/sessions/')).results; }

  /**
   * @param {string} id
   * @returns {Promise<void>}
   */
  async endSession(id) { return this._call('DELETE', path`/api/sessions/${id}/`); }

  /**
   * Ends all sessions but this one.
   *
   * The server requires the username in the query. A client that builds the path of another request
   * wrongly, and reaches this path, ends nothing.
   * @returns {Promise<void>}
   */
  async endOtherSessions() { return this._call('DELETE', `/api/sessions/${query({ confirm: this.#username })}`); }

  /**
   * A page of your groups. `next` is the cursor of the next page, or null on the last page. A page may have
   * fewer groups than `limit`.
   * @param {{ cursor?: string, limit?: number }} [page]
   * @returns {Promise<{ results: Group[], next: string | null }>}
   */
  async groups(page = {}) { return this._call('GET', `/api/groups/${query(page)}`); }

  /**
   * @param {string} group
   * @returns {Promise<Group>}
   */
  async group(group) { return this._call('GET', place(group)); }

  /**
   * Says how far you have read, on all of your devices, and tells what is unread then.
   * @param {string} group
   * @param {number} seq
   * @returns {Promise<Group>}
   */
  async markRead(group, seq) { return this._call('PUT', `${place(group)}read/`, { seq }); }

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
  async rename(group, title) { return this._call('PATCH', place(group), { title }); }

  /**
   * Deletes a group with all of its messages.
   *
   * The server requires the name of the group in the query, as for `endOtherSessions`.
   * @param {string} group
   * @returns {Promise<void>}
   */
  async deleteGroup(group) { return this._call('DELETE', place(group) + query({ confirm: group })); }

  /**
   * @param {string} group
   * @param {{ cursor?: string, limit?: number }} [page]
   * @returns {Promise<{ results: Member[], next: string | null }>}
   */
  async members(group, page = {}) { return this._call('GET', `${place(group)}members/${query(page)}`); }

  /**
   * @param {string} group
   * @param {string} username
   * @param {Role} role
   * @returns {Promise<Member>}
   */
  async setRole(group, username, role) { return this._call('PATCH', member(group, username), { role }); }

  /**
   * Puts somebody out; `ban` keeps them out.
   * @param {string} group
   * @param {string} username
   * @param {{ ban?: boolean }} [how]
   * @returns {Promise<void>}
   */
  async kick(group, username, { ban = false } = {}) { return this._call('DELETE', member(group, username) + query({ ban: ban || undefined })); }

  /**
   * @param {string} group
   * @returns {Promise<void>}
   */
  async leave(group) { return this._call('DELETE', member(group, this.#username)); }

  /**
   * @param {string} group
   * @param {{ cursor?: string, limit?: number }} [page]
   * @returns {Promise<{ results: Ban[], next: string | null }>}
   */
  async bans(group, page = {}) { return this._call('GET', `${place(group)}bans/${query(page)}`); }

  /**
   * @param {string} group
   * @param {string} username
   * @returns {Promise<void>}
   */
  async liftBan(group, username) { return this._call('DELETE', place(group) + path`bans/${username}/`); }

  /**
   * Makes an invite. Its code is told this once.
   * @param {string} group
   * @param {{ expires_in?: number, max_uses?: number }} [how] seconds, and people
   * @returns {Promise<NewInvite>}
   */
  async invite(group, how = {}) { return this._call('POST', `${place(group)}invites/`, how); }

  /**
   * @param {string} group
   * @param {{ cursor?: string, limit?: number }} [page]
   * @returns {Promise<{ results: Invite[], next: string | null }>}
   */
  async invites(group, page = {}) { return this._call('GET', `${place(group)}invites/${query(page)}`); }

  /**
   * @param {string} group
   * @param {number} id
   * @returns {Promise<void>}
   */
  async withdrawInvite(group, id) { return this._call('DELETE', place(group) + path`invites/${id}/`); }

  /**
   * What an invite offers.
   * @param {string} code
   * @returns {Promise<Offer>}
   */
  async offer(code) { return this._call('GET', path`/api/invites/${code}/`); }

  /**
   * Becomes a member by an invite.
   * @param {string} code
   * @returns {Promise<Group>}
   */
  async accept(code) { return this._call('POST', path`/api/invites/${code}/accept/`); }

  /**
   * A page of messages as they are now, the newest first. A chat that joins after `position` misses nothing.
   *
   * A page may have fewer messages than `limit` although there are more. `has_more` is true when there are
   * more: newer messages for `after`, older messages otherwise.
   * @param {string} group
   * @param {{ before?: number, after?: number, limit?: number }} [window]
   * @returns {Promise<{ results: Message[], position: number, has_more: boolean }>}
   */
  async messages(group, window = {}) { return this._call('GET', `${place(group)}messages/${query(window)}`); }

  /**
   * A part of the log, in order: what a chat is told.
   * @param {string} group
   * @param {{ after?: number, limit?: number }} [window]
   * @returns {Promise<{ results: ChatEvent[], position: number }>}
   */
  async events(group, window = {}) { return this._call('GET', `${place(group)}events/${query(window)}`); }

  /** The username of the logged-in user. @throws {SalamError} if nobody is logged in */
  get #username() {
    if (!this.user) throw new SalamError('unauthorized', 'Nobody is logged in.', { status: 401 });
    return this.user.username;
  }

  /** The connection, opened at the first call. It stays until `close`, and comes back by itself. */
  connect() {
    this.#connection ??= new Connection(this);
    this.#connection._start();
    return this.#connection;
  }
}

/** @param {string} group */
const place = (group) => path`/api/groups/${group}/`;

/**
 * @param {string} group
 * @param {string} username
 */
const member = (group, username) => place(group) + path`members/${username}/`;
