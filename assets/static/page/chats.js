// @ts-check
/** The list of chats, each with its members, its last message and its unread count. */

import { avatar, clone, part } from './dom.js';
import { inline } from './prose.js';
import { directionOf, number, plain, shortTime, text } from './texts.js';

/**
 * @typedef {import('../salam.js').Salam} Salam
 * @typedef {import('../salam.js').Connection} Connection
 * @typedef {import('../salam.js').Chat} Chat
 * @typedef {import('../salam.js').Group} Group
 * @typedef {import('../salam.js').ChatEvent} ChatEvent
 *
 * @typedef {object} Row A chat in the list.
 * @property {Chat} chat
 * @property {string} at the time of the last message, or of joining
 * @property {{ seq: number, by: string | null, text: string | null } | null} last
 * @property {string} others the names of the other members, for a chat without a title
 * @property {number} members the number of members; 1000 stands for 1000 or more
 * @property {number} countedTo the seq of the last event that `members` includes
 * @property {import('./dom.js').Part} element
 */

/** Groups of one request. A page may have fewer groups: only `next` shows whether there are more. */
const PAGE = 100;

/** Groups that the first load requests. The page finds other groups by their address. */
const FIRST_LOAD = 500;

/** The largest number of members that the server counts. */
const MAX_MEMBERS = 1000;

/** Milliseconds after which a failed load is repeated. */
const RETRY_AFTER = 3000;

/** Milliseconds for which changed members are collected before the names are requested. */
const RENAME_DELAY = 250;

/** The list of chats. */
export class Chats {
  #salam;
  #connection;
  #list;
  #changed;
  /** @type {Map<string, Row>} */
  #rows = new Map();
  #isLoaded = false;
  #isLoading = false;
  #open = '';
  /** @type {Set<Row>} rows whose elements are outdated */
  #stale = new Set();
  #isClosed = false;
  /** Rows without a title whose members have changed. @type {Set<Row>} */
  #unnamed = new Set();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #renameTimer;
  #unlisten;

  /**
   * @param {Salam} salam
   * @param {Connection} connection
   * @param {HTMLElement} list
   * @param {() => void} changed is called when the list or an unread count has changed
   */
  constructor(salam, connection, list, changed) {
    this.#salam = salam;
    this.#connection = connection;
    this.#list = list;
    this.#changed = changed;
    this.#unlisten = [
      connection.on('chat', (chat) => this.#onJoined(chat)),
      connection.on('lost', (chat) => this.#remove(chat.group)),
      // A list that is requested after `hello` misses no group.
      connection.on('hello', () => this.load()),
      // The page shows the chats even without a socket.
      connection.on('state', ({ blocked }) => { if (blocked && !this.#isLoaded && !this.#isLoading) this.load(); }),
    ];
  }

  /** Whether the list was loaded. */
  get isLoaded() { return this.#isLoaded; }

  get isEmpty() { return this.#rows.size === 0; }

  /** The number of unread messages of other members, in all chats. */
  get unread() { return [...this.#rows.values()].reduce((sum, { chat }) => sum + chat.unread, 0); }

  /** Returns the chat of a group. @param {string} group */
  chat(group) { return this.#rows.get(group)?.chat; }

  /** Returns the title of a chat, or the names of its members. @param {string} group */
  titleOf(group) {
    const row = this.#rows.get(group);
    if (!row) return '';
    return row.chat.title === null ? row.others || text('untitled') : plain(row.chat.title);
  }

  /** Returns the number of members of a chat; 1000 stands for 1000 or more. @param {string} group */
  membersOf(group) { return this.#rows.get(group)?.members ?? 0; }

  /** Removes the listeners. */
  close() {
    this.#isClosed = true;
    clearTimeout(this.#renameTimer);
    this.#unlisten.forEach((end) => end());
  }

  /** Marks the open chat. @param {string} group or an empty string */
  show(group) {
    const rows = [this.#rows.get(this.#open), this.#rows.get(group)];
    this.#open = group;
    for (const row of rows) if (row) this.#fill(row);
  }

  /** Loads the list, or its newest groups if it is loaded. */
  async load() {
    this.#isLoading = true;
    /** @type {string | undefined} */
    let cursor;
    // Later, only the groups that were joined last can be new.
    const wanted = this.#isLoaded ? PAGE : FIRST_LOAD;
    for (let listed = 0; listed < wanted;) {
      const found = await this.#salam.groups({ limit: PAGE, cursor }).catch(() => null);
      if (this.#isClosed) return;
      if (!found) {
        setTimeout(() => { if (!this.#isClosed) this.load(); }, RETRY_AFTER);
        return;
      }
      found.results.forEach((group) => this.add(group));
      if (!found.next || found.results.length === 0) break;
      listed += found.results.length;
      cursor = found.next;
    }
    [this.#isLoaded, this.#isLoading] = [true, false];
    this.#render();
  }

  /** Adds a group to the list, and subscribes to it. @param {Group} group */
  add(group) {
    const row = this.#rows.get(group.group);
    if (row) return this.#name(row, group);
    const chat = this.#connection.join(group.group, { after: group.head });
    chat.know(group);
    this.#addRow(chat, group);
  }

  /** Adds a chat that the user has joined, on any device. @param {Chat} chat */
  async #onJoined(chat) {
    // Events that arrive before the response may be newer than the response.
    /** @type {ChatEvent[]} */
    const events = [];
    const stop = chat.on('event', (event) => events.push(event));
    const group = await this.#salam.group(chat.group).catch(() => null);
    stop();
    if (this.#isClosed) return;
    if (group && !this.#rows.has(chat.group)) {
      const row = this.#addRow(chat, group);
      for (const event of events) if (event.seq > group.head) this.#apply(row, event);
    }
    if (!group) setTimeout(() => { if (!this.#isClosed) this.load(); }, RETRY_AFTER);
  }

  /**
   * Adds the row of a chat.
   * @param {Chat} chat
   * @param {Group} group
   * @returns {Row}
   */
  #addRow(chat, group) {
    const { last_message: last } = group;
    const element = clone('chat');
    /** @type {Row} */
    const row = { chat, last, at: last?.at ?? group.joined_at, others: names(group), members: group.member_count, countedTo: group.head, element };
    this.#rows.set(chat.group, row);
    part(element, 'link').href = `#/chat/${chat.group}`;
    chat.on('event', (event) => { if (this.#apply(row, event)) this.#show(row); });
    chat.on('change', () => this.#show(row));
    chat.on('reset', () => this.#reload(row));
    this.#show(row);
    return row;
  }

  /** Removes the row of a chat. @param {string} group */
  #remove(group) {
    this.#rows.get(group)?.element.remove();
    this.#rows.delete(group);
    this.#changed();
  }

  /**
   * Applies an event to a row.
   * @param {Row} row
   * @param {ChatEvent} event
   * @returns {boolean} whether the row has changed
   */
  #apply(row, { kind, seq, at, by, data }) {
    if (['member.joined', 'member.left'].includes(kind)) {
      if (row.chat.title === null) this.#rename(row);
      if (seq > row.countedTo && row.members < MAX_MEMBERS) row.members += kind === 'member.joined' ? 1 : -1;
    }
    const { last } = row;
    if (kind === 'message.created') [row.last, row.at] = [{ seq, by, text: data.text }, at];
    else if (kind === 'message.edited' && last && last.seq === data.seq && !data.replaced) row.last = { ...last, text: data.text };
    else if (kind === 'message.deleted' && last && last.seq === data.seq) row.last = { ...last, text: null };
    else if (kind === 'group.updated' && data.title === null) this.#rename(row);
    else return false;
    return true;
  }

  /** Loads a chat again after a reset. @param {Row} row */
  async #reload(row) {
    const group = await this.#salam.group(row.chat.group).catch(() => null);
    if (!group) return;
    [row.last, row.at] = [group.last_message, group.last_message?.at ?? row.at];
    this.#name(row, group);
    this.#show(row);
  }

  /** Requests the names of the members of a chat without a title. Changes of the same moment share one request. @param {Row} row */
  #rename(row) {
    this.#unnamed.add(row);
    this.#renameTimer ??= setTimeout(async () => {
      // Later changes need another request.
      const rows = [...this.#unnamed];
      this.#unnamed.clear();
      for (const changed of rows) await this.#requestName(changed);
      this.#renameTimer = undefined;
      const [next] = this.#unnamed;
      if (next && !this.#isClosed) this.#rename(next);
    }, RENAME_DELAY);
  }

  /** Requests the names for one row. @param {Row} row */
  async #requestName(row) {
    const isListed = () => !this.#isClosed && this.#rows.get(row.chat.group) === row;
    const group = isListed() && row.chat.title === null ? await this.#salam.group(row.chat.group).catch(() => null) : null;
    if (group && isListed()) this.#name(row, group);
  }

  /** Sets the names and the number of members of a row. @param {Row} row @param {Group} group */
  #name(row, group) {
    // The row may already include newer events than the response.
    if (group.head >= (row.chat.last ?? 0)) [row.members, row.countedTo] = [group.member_count, group.head];
    const others = names(group);
    if (row.others === others) return;
    row.others = others;
    this.#show(row);
  }

  /** Marks a row as outdated. Changes of the same moment are shown together. @param {Row} row */
  #show(row) {
    this.#stale.add(row);
    if (this.#stale.size === 1) setTimeout(() => this.#render());
  }

  /** Fills outdated rows, and sorts the list. */
  #render() {
    for (const row of this.#stale) if (this.#rows.get(row.chat.group) === row) this.#fill(row);
    this.#stale.clear();
    const rows = [...this.#rows.values()].sort((a, b) => b.at.localeCompare(a.at));
    rows.forEach(({ element }, index) => {
      if (this.#list.children[index] !== element) this.#list.insertBefore(element, this.#list.children[index] ?? null);
    });
    this.#changed();
  }

  /** Writes a row into its element. @param {Row} row */
  #fill({ chat, last, at, element }) {
    const title = this.titleOf(chat.group);
    avatar(part(element, 'avatar'), chat.group, title);
    part(element, 'title').textContent = title;
    part(element, 'title').dir = directionOf(title);
    const time = part(element, 'time');
    time.textContent = shortTime(new Date(at));
    time.dateTime = at;
    part(element, 'last').textContent = last ? this.#lastLine(last) : text('no-messages');
    part(element, 'last').dir = directionOf(last?.text ?? '');
    part(element, 'unread').hidden = chat.unread === 0;
    part(element, 'count').textContent = number(chat.unread);
    part(element, 'spoken').textContent = text('unread', { count: chat.unread });
    part(element, 'link').ariaCurrent = chat.group === this.#open ? 'page' : null;
  }

  /** Returns the last message in one line. @param {{ by: string | null, text: string | null }} last */
  #lastLine({ by, text: words }) {
    const line = words === null ? text('deleted') : inline(words);
    return by === this.#salam.user?.username ? text('preview-own', { text: line }) : by ? text('preview', { name: by, text: line }) : line;
  }
}

/** Returns the names of the first other members, and the number of the rest. @param {Group} group */
function names({ others = [], member_count: count = 0 }) {
  const listed = others.map(({ name }) => plain(name)).join(text('list-comma'));
  const more = count - 1 - others.length;
  return listed && more > 0 ? plain(text('names-and-more', { names: listed, more })) : listed;
}
