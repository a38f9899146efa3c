// @ts-check
/** The list of chats: who is in them, what was said last, and how much of it is unread. */

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
 * @typedef {object} Row
 * @property {Chat} chat
 * @property {string} at when something was said last, or the chat began
 * @property {{ seq: number, by: string | null, text: string | null } | null} last
 * @property {string} others the names of its other members, for a chat without a name
 * @property {import('./dom.js').Part} element
 */

/** Groups that one request asks for. A page may have fewer of them: only `next` shows whether there are more. */
const PAGE = 100;

/** Groups that the list loads at first. Other groups are found by their address. */
const LISTED = 500;

/** Milliseconds after which the list is asked for again, if it did not come. */
const AGAIN_AFTER = 3000;

/** Milliseconds after a change of its members in which further changes of a chat are asked for together. */
const NAMED_AFTER = 250;

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
  /** @type {Set<Row>} rows that are to be filled anew */
  #stale = new Set();
  #isClosed = false;
  /** Rows without a title whose members have changed. @type {Set<Row>} */
  #unnamed = new Set();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #naming;
  #ends;

  /**
   * @param {Salam} salam
   * @param {Connection} connection
   * @param {HTMLElement} list
   * @param {() => void} changed is called when the list, or what is unread, is another
   */
  constructor(salam, connection, list, changed) {
    this.#salam = salam;
    this.#connection = connection;
    this.#list = list;
    this.#changed = changed;
    this.#ends = [
      connection.on('chat', (chat) => this.#appear(chat)),
      connection.on('lost', (chat) => this.#remove(chat.group)),
      // Whoever lists after `hello` misses nothing.
      connection.on('hello', () => this.load()),
      // The page can show the chats without a socket.
      connection.on('state', ({ blocked }) => { if (blocked && !this.#isLoaded && !this.#isLoading) this.load(); }),
    ];
  }

  /** Whether the list was loaded. */
  get isLoaded() { return this.#isLoaded; }

  get isEmpty() { return this.#rows.size === 0; }

  /** Messages of others that are not read, in all chats. */
  get unread() { return [...this.#rows.values()].reduce((sum, { chat }) => sum + chat.unread, 0); }

  /** @param {string} group */
  chat(group) { return this.#rows.get(group)?.chat; }

  /** What a chat is called: by its name, or by who is in it. @param {string} group */
  titleOf(group) {
    const row = this.#rows.get(group);
    if (!row) return '';
    return row.chat.title === null ? row.others || text('untitled') : plain(row.chat.title);
  }

  close() {
    this.#isClosed = true;
    clearTimeout(this.#naming);
    this.#ends.forEach((end) => end());
  }

  /** @param {string} group that is looked at, or none */
  show(group) {
    const rows = [this.#rows.get(this.#open), this.#rows.get(group)];
    this.#open = group;
    for (const row of rows) if (row) this.#fill(row);
  }

  async load() {
    this.#isLoading = true;
    /** @type {string | undefined} */
    let cursor;
    // After the first time, new groups are among those that were joined last.
    const wanted = this.#isLoaded ? PAGE : LISTED;
    for (let listed = 0; listed < wanted;) {
      const found = await this.#salam.groups({ limit: PAGE, cursor }).catch(() => null);
      if (this.#isClosed) return;
      if (!found) {
        setTimeout(() => { if (!this.#isClosed) this.load(); }, AGAIN_AFTER);
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

  /** Takes a group into the list, and follows it. @param {Group} group */
  add(group) {
    const row = this.#rows.get(group.group);
    if (row) return this.#name(row, group);
    const chat = this.#connection.join(group.group, { after: group.head });
    chat.know(group);
    this.#take(chat, group);
  }

  /** @param {Chat} chat that you were let in to, here or elsewhere */
  async #appear(chat) {
    // Events that arrive before the answer may be newer than the answer.
    /** @type {ChatEvent[]} */
    const told = [];
    const stop = chat.on('event', (event) => told.push(event));
    const group = await this.#salam.group(chat.group).catch(() => null);
    stop();
    if (this.#isClosed) return;
    if (group && !this.#rows.has(chat.group)) {
      const row = this.#take(chat, group);
      for (const event of told) if (event.seq > group.head) this.#follow(row, event);
    }
    if (!group) setTimeout(() => { if (!this.#isClosed) this.load(); }, AGAIN_AFTER);
  }

  /**
   * @param {Chat} chat
   * @param {Group} group
   * @returns {Row}
   */
  #take(chat, group) {
    const { last_message: last } = group;
    const element = clone('chat');
    /** @type {Row} */
    const row = { chat, last, at: last?.at ?? group.joined_at, others: names(group), element };
    this.#rows.set(chat.group, row);
    part(element, 'link').href = `#/chat/${chat.group}`;
    chat.on('event', (event) => { if (this.#follow(row, event)) this.#show(row); });
    chat.on('change', () => this.#show(row));
    chat.on('reset', () => this.#again(row));
    this.#show(row);
    return row;
  }

  /** @param {string} group */
  #remove(group) {
    this.#rows.get(group)?.element.remove();
    this.#rows.delete(group);
    this.#changed();
  }

  /**
   * @param {Row} row
   * @param {ChatEvent} event
   * @returns {boolean} whether the row is another by it
   */
  #follow(row, { kind, seq, at, by, data }) {
    if (['member.joined', 'member.left'].includes(kind) && row.chat.title === null) this.#rename(row);
    const { last } = row;
    if (kind === 'message.created') [row.last, row.at] = [{ seq, by, text: data.text }, at];
    else if (kind === 'message.edited' && last && last.seq === data.seq && !data.replaced) row.last = { ...last, text: data.text };
    else if (kind === 'message.deleted' && last && last.seq === data.seq) row.last = { ...last, text: null };
    else if (kind === 'group.updated' && data.title === null) this.#rename(row);
    else return false;
    return true;
  }

  /** Too much was missed. @param {Row} row */
  async #again(row) {
    const group = await this.#salam.group(row.chat.group).catch(() => null);
    if (!group) return;
    [row.last, row.at] = [group.last_message, group.last_message?.at ?? row.at];
    this.#name(row, group);
    this.#show(row);
  }

  /** Asks for the members of a chat without a title. Changes of one moment share one request. @param {Row} row */
  #rename(row) {
    this.#unnamed.add(row);
    this.#naming ??= setTimeout(async () => {
      // Later changes need another request.
      const rows = [...this.#unnamed];
      this.#unnamed.clear();
      for (const changed of rows) await this.#askName(changed);
      this.#naming = undefined;
      const [next] = this.#unnamed;
      if (next && !this.#isClosed) this.#rename(next);
    }, NAMED_AFTER);
  }

  /** @param {Row} row */
  async #askName(row) {
    const isListed = () => !this.#isClosed && this.#rows.get(row.chat.group) === row;
    const group = isListed() && row.chat.title === null ? await this.#salam.group(row.chat.group).catch(() => null) : null;
    if (group && isListed()) this.#name(row, group);
  }

  /** @param {Row} row @param {Group} group */
  #name(row, group) {
    const others = names(group);
    if (row.others === others) return;
    row.others = others;
    this.#show(row);
  }

  /** Shows a row as it is now; many changes of one moment are shown together. @param {Row} row */
  #show(row) {
    this.#stale.add(row);
    if (this.#stale.size === 1) setTimeout(() => this.#render());
  }

  #render() {
    for (const row of this.#stale) if (this.#rows.get(row.chat.group) === row) this.#fill(row);
    this.#stale.clear();
    const rows = [...this.#rows.values()].sort((a, b) => b.at.localeCompare(a.at));
    rows.forEach(({ element }, index) => {
      if (this.#list.children[index] !== element) this.#list.insertBefore(element, this.#list.children[index] ?? null);
    });
    this.#changed();
  }

  /** @param {Row} row */
  #fill({ chat, last, at, element }) {
    const title = this.titleOf(chat.group);
    avatar(part(element, 'avatar'), chat.group, title);
    part(element, 'title').textContent = title;
    part(element, 'title').dir = directionOf(title);
    const time = part(element, 'time');
    time.textContent = shortTime(new Date(at));
    time.dateTime = at;
    part(element, 'last').textContent = last ? this.#said(last) : text('nothing-said');
    part(element, 'last').dir = directionOf(last?.text ?? '');
    part(element, 'unread').hidden = chat.unread === 0;
    part(element, 'count').textContent = number(chat.unread);
    part(element, 'spoken').textContent = text('unread', { count: chat.unread });
    part(element, 'link').ariaCurrent = chat.group === this.#open ? 'page' : null;
  }

  /** @param {{ by: string | null, text: string | null }} last */
  #said({ by, text: words }) {
    const said = words === null ? text('deleted') : inline(words);
    return by === this.#salam.user?.username ? text('you-said', { text: said }) : by ? text('they-said', { name: by, text: said }) : said;
  }
}

/** The names of the first other members, and the number of the rest. @param {Group} group */
function names({ others = [], member_count: count = 0 }) {
  const listed = others.map(({ name }) => plain(name)).join(text('list-comma'));
  const more = count - 1 - others.length;
  return listed && more > 0 ? plain(text('others', { names: listed, more })) : listed;
}
