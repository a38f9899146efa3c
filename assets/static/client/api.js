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
 * The API of one server for one user, and the connection to it.
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

  /** The URL of the socket. */
  get socketUrl() { return `${this._base.replace(/^http/, 'ws')}/ws/`; }

  /**
   * Returns the logged-in user, from the server.
   * @returns {Promise<User>}
   */
  me() { return this._call('GET', '/api/me/'); }

  /**
   * Returns all sessions of the user.
   * @returns {Promise<Login[]>}
   */
  async sessions() { return (await this._call('GET', '/api/sessions/')).results; }

  /**
   * Ends one session.
   * @param {string} id
   * @returns {Promise<void>}
   */
  async endSession(id) { return this._call('DELETE', path`/api/sessions/${id}/`); }

  /**
   * Ends all sessions except this one.
   *
   * The server requires the username in the query. So a client that reaches this path by a mistake in another
   * path ends nothing.
   * @returns {Promise<void>}
   */
  async endOtherSessions() { return this._call('DELETE', `/api/sessions/${query({ confirm: this.#username })}`); }

  /**
   * Returns a page of the user's groups. `next` is the cursor of the next page, or null on the last page. A page
   * may have fewer groups than `limit`.
   * @param {{ cursor?: string, limit?: number }} [page]
   * @returns {Promise<{ results: Group[], next: string | null }>}
   */
  async groups(page = {}) { return this._call('GET', `/api/groups/${query(page)}`); }

  /**
   * Returns one group.
   * @param {string} group
   * @returns {Promise<Group>}
   */
  async group(group) { return this._call('GET', groupPath(group)); }

  /**
   * Stores how far the user has read, for all devices. Returns the group with the new unread count.
   * @param {string} group
   * @param {number} seq
   * @returns {Promise<Group>}
   */
  async markRead(group, seq) { return this._call('PUT', `${groupPath(group)}read/`, { seq: seqNumber(seq) }); }

  /**
   * Starts a chat. The user becomes its owner.
   *
   * The method resolves to the name of the group: a string such as `chat_a1b2c3d4`, not an object. Pass the name
   * to `connect().join(group)` and to all methods that take a group.
   * @param {string} [title]
   * @returns {Promise<string>} the name of the group
   */
  async startChat(title) { return (await this._call('POST', '/api/start-chat/', title ? { title } : {})).group_name; }

  /**
   * Changes the title of a group.
   * @param {string} group
   * @param {string | null} title null removes the title
   * @returns {Promise<Group>}
   */
  async rename(group, title) { return this._call('PATCH', groupPath(group), { title }); }

  /**
   * Deletes a group with all its messages.
   *
   * The server requires the name of the group in the query, as for `endOtherSessions`.
   * @param {string} group
   * @returns {Promise<void>}
   */
  async deleteGroup(group) { return this._call('DELETE', groupPath(group) + query({ confirm: group })); }

  /**
   * Returns a page of the members of a group.
   * @param {string} group
   * @param {{ cursor?: string, limit?: number }} [page]
   * @returns {Promise<{ results: Member[], next: string | null }>}
   */
  async members(group, page = {}) { return this._call('GET', `${groupPath(group)}members/${query(page)}`); }

  /**
   * Gives a member another role.
   * @param {string} group
   * @param {string} username
   * @param {Role} role
   * @returns {Promise<Member>}
   */
  async setRole(group, username, role) { return this._call('PATCH', memberPath(group, username), { role }); }

  /**
   * Kicks a member; with `ban`, bans the member: a banned user cannot return by an invite.
   * @param {string} group
   * @param {string} username
   * @param {{ ban?: boolean }} [options]
   * @returns {Promise<void>}
   */
  async kick(group, username, { ban = false } = {}) { return this._call('DELETE', memberPath(group, username) + query({ ban: ban || undefined })); }

  /**
   * Ends the user's own membership.
   * @param {string} group
   * @returns {Promise<void>}
   */
  async leave(group) { return this._call('DELETE', memberPath(group, this.#username)); }

  /**
   * Returns a page of the bans of a group.
   * @param {string} group
   * @param {{ cursor?: string, limit?: number }} [page]
   * @returns {Promise<{ results: Ban[], next: string | null }>}
   */
  async bans(group, page = {}) { return this._call('GET', `${groupPath(group)}bans/${query(page)}`); }

  /**
   * Unbans a user.
   * @param {string} group
   * @param {string} username
   * @returns {Promise<void>}
   */
  async liftBan(group, username) { return this._call('DELETE', groupPath(group) + path`bans/${username}/`); }

  /**
   * Creates an invite. Only this answer contains its code.
   * @param {string} group
   * @param {{ expires_in?: number, max_uses?: number }} [options] the lifetime in seconds, and the number of users
   * @returns {Promise<NewInvite>}
   */
  async invite(group, options = {}) { return this._call('POST', `${groupPath(group)}invites/`, options); }

  /**
   * Returns a page of the invites of a group.
   * @param {string} group
   * @param {{ cursor?: string, limit?: number }} [page]
   * @returns {Promise<{ results: Invite[], next: string | null }>}
   */
  async invites(group, page = {}) { return this._call('GET', `${groupPath(group)}invites/${query(page)}`); }

  /**
   * Revokes an invite.
   * @param {string} group
   * @param {number} id
   * @returns {Promise<void>}
   */
  async withdrawInvite(group, id) { return this._call('DELETE', groupPath(group) + path`invites/${id}/`); }

  /**
   * Returns the preview of the group that an invite is for. @param {string} code @returns {Promise<Offer>}
   */
  async offer(code) { return this._call('GET', path`/api/invites/${code}/`); }

  /**
   * Accepts an invite: the user becomes a member.
   * @param {string} code
   * @returns {Promise<Group>}
   */
  async accept(code) { return this._call('POST', path`/api/invites/${code}/accept/`); }

  /**
   * Returns a page of messages in their current state, the newest first. A chat that joins with `after: position`
   * misses nothing.
   *
   * With `notes: true`, `notes` has the other events that a reader sees between the messages: members that
   * join and leave, new roles, new titles. The limit counts messages and notes together. The page has all
   * messages and notes from the seq `first` on. The next older page is `before: first`. `kinds` names kinds of an
   * application, separated by commas, whose events are notes too.
   *
   * A page may have fewer messages than `limit` although there are more. `has_more` is true when there are
   * more: newer messages for `after`, older messages otherwise.
   * @param {string} group
   * @param {{ before?: number, after?: number, limit?: number, notes?: boolean, kinds?: string }} [window]
   * @returns {Promise<MessagePage>}
   */
  async messages(group, window = {}) { return this._call('GET', `${groupPath(group)}messages/${query(checkedWindow(window))}`); }

  /**
   * Returns a part of the log, in order: the same events that a chat receives.
   * @param {string} group
   * @param {{ after?: number, limit?: number }} [window]
   * @returns {Promise<{ results: ChatEvent[], position: number }>}
   */
  async events(group, window = {}) { return this._call('GET', `${groupPath(group)}events/${query(checkedWindow(window))}`); }

  /** The username of the logged-in user. @throws {SalamError} if nobody is logged in */
  get #username() {
    if (!this.user) throw new SalamError('unauthorized', 'Nobody is logged in.', { status: 401 });
    return this.user.username;
  }

  /**
   * Returns the connection, and opens it if it is closed. The connection stays open until `close`, and
   * reconnects automatically.
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

/** Returns the path of a group. @param {string} group */
const groupPath = (group) => path`/api/groups/${groupName(group)}/`;

/**
 * Returns the parameters of a page, after a check of their seqs.
 * @template {{ before?: number, after?: number }} Window
 * @param {Window} window
 * @returns {Window}
 */
function checkedWindow(window) {
  if (window.before !== undefined) seqNumber(window.before, 'before');
  if (window.after !== undefined) seqNumber(window.after, 'after', 0);
  return window;
}

/**
 * Returns the path of a member.
 * @param {string} group
 * @param {string} username
 */
const memberPath = (group, username) => groupPath(group) + path`members/${username}/`;
