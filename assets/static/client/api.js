// @ts-check
import { groupName, seqNumber } from './check.js';
import { Connection } from './connection.js';
import { SalamError } from './error.js';
import { path, query } from './path.js';
import { Session } from './session.js';

/**
 * @typedef {import('./types.js').User} User
 * @typedef {import('./types.js').Role} Role
 * @typedef {import('./types.js').ChatEvent} ChatEvent
 * @typedef {import('./types.js').MessagePage} MessagePage
 * @typedef {import('./types.js').Group} Group
 * @typedef {import('./types.js').Member} Member
 * @typedef {import('./types.js').Ban} Ban
 * @typedef {import('./types.js').NewInvite} NewInvite
 * @typedef {import('./types.js').Invite} Invite
 * @typedef {import('./types.js').Offer} Offer
 * @typedef {import('./types.js').Session} Login
 */

/**
 * One user at one server: the API, and the connection.
 *
 * Each method that takes the name of a group or a seq checks it first. For any other value, the method rejects
 * with a `TypeError` and sends nothing.
 */
export class Salam extends Session {
  /** @type {Connection | null} */
  #connection = null;

  /** @internal */
  _signedOut() {
    this.#connection?.close();
    this.#connection = null;
  }

  dispose() {
    this.#connection?.close();
    this.#connection = null;
    super.dispose();
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
  async markRead(group, seq) { return this._call('PUT', `${place(group)}read/`, { seq: seqNumber(seq) }); }

  /**
   * Starts a chat of which you are the owner.
   *
   * The method resolves to the name of the group: a string such as `chat_a1b2c3d4`, not an object. Pass the name
   * to `connect().join(group)` and to all methods that take a group.
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
   * With `notes: true`, `notes` has the other events that a reader sees between the messages: members that
   * join and leave, new roles, new titles. The limit counts messages and notes together. The page has all of
   * them from the seq `first` on. The next older page is `before: first`.
   *
   * A page may have fewer messages than `limit` although there are more. `has_more` is true when there are
   * more: newer messages for `after`, older messages otherwise.
   * @param {string} group
   * @param {{ before?: number, after?: number, limit?: number, notes?: boolean }} [window]
   * @returns {Promise<MessagePage>}
   */
  async messages(group, window = {}) { return this._call('GET', `${place(group)}messages/${query(checked(window))}`); }

  /**
   * A part of the log, in order: what a chat is told.
   * @param {string} group
   * @param {{ after?: number, limit?: number }} [window]
   * @returns {Promise<{ results: ChatEvent[], position: number }>}
   */
  async events(group, window = {}) { return this._call('GET', `${place(group)}events/${query(checked(window))}`); }

  /** The username of the logged-in user. @throws {SalamError} if nobody is logged in */
  get #username() {
    if (!this.user) throw new SalamError('unauthorized', 'Nobody is logged in.', { status: 401 });
    return this.user.username;
  }

  /**
   * Returns the connection, and opens it where it is closed. The connection stays open until `close`, and
   * reconnects by itself.
   * @returns {Connection}
   * @throws {SalamError} `no_websocket` in a runtime without a WebSocket class; `closed` after `dispose`
   */
  connect() {
    if (this._isDisposed) throw new SalamError('closed', 'This Salam object was disposed. Make a new one.');
    if (!this._WebSocket) {
      throw new SalamError('no_websocket', 'This runtime has no WebSocket class. Pass a WebSocket class: new Salam({ WebSocket }).');
    }
    const connection = this.#connection ?? new Connection(this);
    this.#connection = connection;
    connection._start();
    return connection;
  }
}

/** @param {string} group */
const place = (group) => path`/api/groups/${groupName(group)}/`;

/**
 * @template {{ before?: number, after?: number }} Window
 * @param {Window} window
 * @returns {Window}
 */
function checked(window) {
  if (window.before !== undefined) seqNumber(window.before, 'before');
  if (window.after !== undefined) seqNumber(window.after, 'after', 0);
  return window;
}

/**
 * @param {string} group
 * @param {string} username
 */
const member = (group, username) => place(group) + path`members/${username}/`;
