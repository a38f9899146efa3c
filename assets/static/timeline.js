// @ts-check
/**
 * The visible part of a chat: its messages as lines, and some of its other events as notes. It is loaded from
 * the end upwards.
 *
 * A page of the server has the messages as they were at a `position` of the log. A line includes each event up
 * to that position, and each later event changes the line. So each event is applied exactly once, whether the
 * page or the event arrives first.
 *
 * @module timeline
 */

import { SalamError } from './client/error.js';

/**
 * @typedef {import('./salam.js').ChatEvent} ChatEvent
 * @typedef {import('./salam.js').Chat} Chat
 * @typedef {import('./salam.js').Message} Message
 * @typedef {import('./salam.js').MessagePage} MessagePage
 * @typedef {import('./salam.js').Salam} Salam
 *
 * @typedef {object} Line A message as it is now.
 * @property {'line'} type
 * @property {number} seq
 * @property {string} at
 * @property {string | null} by
 * @property {string | null} text null when it was deleted
 * @property {boolean} edited
 * @property {number | null} replyTo
 * @property {Map<string, Reacted>} reactions by emoji
 * @property {number} position the last event that the line includes
 *
 * @typedef {object} Reacted Who reacted with one emoji.
 * @property {number} count
 * @property {boolean} mine
 * @property {Set<string>} by the known usernames; of many members only some are known
 *
 * @typedef {object} Note Another event: a member that joined or left, a new title …
 * @property {'note'} type
 * @property {number} seq
 * @property {string} at
 * @property {string | null} by
 * @property {string} kind
 * @property {any} data
 */

/** Messages and notes of the first page, which has to arrive soon, and of the other pages. */
const FIRST_PAGE = 50;
const PAGE = 100;

/** Lines and notes of each load, at least. */
const ENOUGH = 25;

/** A page that is older than the known events is requested again so often, after so many milliseconds. */
const REPEATS = 5;
const AGAIN_AFTER = 300;

/** Milliseconds after which a line that is quoted may be asked for again, if it did not come. */
const QUOTED_AGAIN_AFTER = 5000;

const NOTES = ['member.joined', 'member.left', 'member.role', 'group.updated'];

export class Timeline {
  #salam;
  #chat;
  #tell;
  /** @type {Map<number, Line | Note>} */
  #items = new Map();
  /** @type {Map<number, Line | null | undefined>} lines that are quoted and not loaded; undefined until they come */
  #quoted = new Map();
  /** Authors whose accounts are inactive, each with the position of the page that says so. @type {Map<string, number>} */
  #inactive = new Map();
  /** The range of events whose items are loaded. */
  #first = 0;
  #last = 0;
  #isLoaded = false;
  #isComplete = false;
  /** Is another number once what was known means nothing any more. */
  #life = 0;
  #isClosed = false;
  /** The number of requests for pages that are under way. */
  #asked = 0;
  /** Events that arrived while requests are under way: the answers may be older. @type {ChatEvent[]} */
  #told = [];
  /** @type {Promise<void> | null} */
  #loading = null;
  #ends;

  /**
   * @param {Salam} salam
   * @param {Chat} chat
   * @param {(seqs: number[] | 'all') => void} tell is called with what has changed
   */
  constructor(salam, chat, tell) {
    this.#salam = salam;
    this.#chat = chat;
    this.#tell = tell;
    this.#ends = [chat.on('event', (event) => this.#add(event)), chat.on('reset', () => this.#begin())];
    /** Why the last load failed, if it did. @type {Error | null} */
    this.error = null;
  }

  /** Lines and notes, in order. */
  get items() { return [...this.#items.values()].sort((a, b) => a.seq - b.seq); }

  /** Whether the beginning is loaded. */
  get isComplete() { return this.#isComplete; }

  /** Whether anything is loaded. */
  get isOpen() { return this.#isLoaded; }

  /** @param {number} seq */
  item(seq) { return this.#items.get(seq); }

  /** Returns true when a loaded page says that the account of an author is inactive. @param {string | null} username */
  isInactive(username) { return username !== null && this.#inactive.has(username); }

  /**
   * The line of that number, loaded if need be; undefined while it is not known, null if there is none.
   * @param {number} seq
   * @param {() => void} loaded is called when it is known
   * @returns {Line | null | undefined}
   */
  quoted(seq, loaded) {
    const item = this.#items.get(seq);
    if (item) return item.type === 'line' ? item : null;
    if (this.#quoted.has(seq)) return this.#quoted.get(seq);
    this.#quoted.set(seq, undefined); // it is asked for once
    const life = this.#life;
    this.#page({ before: seq + 1, limit: 1 }, ({ results: [message], position }) => {
      if (life !== this.#life) return;
      const line = message?.seq === seq ? lineOf(message, position, this.#me) : null;
      this.#quoted.set(seq, line);
      if (line) this.#know(message, position);
      if (line) for (const event of this.#told) change(line, event, this.#me);
      loaded();
    }).catch(() => { setTimeout(() => { if (life === this.#life) this.#quoted.delete(seq); }, QUOTED_AGAIN_AFTER); });
    return undefined;
  }

  /** Loads what comes before; the end of the log, at first. */
  load() {
    if (this.#chat.last === null) { // it has only just appeared
      const end = this.#chat.on('live', () => { end(); this.load(); });
      this.#ends.push(end);
      return Promise.resolve();
    }
    this.#loading ??= this.#loadOlder().finally(() => { this.#loading = null; });
    return this.#loading;
  }

  close() {
    this.#isClosed = true;
    this.#ends.forEach((end) => end());
  }

  get #me() { return this.#salam.user?.username ?? ''; }

  /** Numbers that were known mean nothing any more, or the gap is too wide to be told. */
  #begin() {
    for (const map of [this.#items, this.#quoted, this.#inactive]) map.clear();
    this.#told = [];
    [this.#first, this.#last, this.#life] = [0, 0, this.#life + 1];
    [this.#isLoaded, this.#isComplete] = [false, false];
    this.#tell('all');
    this.load();
  }

  async #loadOlder() {
    this.error = null;
    try {
      for (let items = 0; items < ENOUGH && !this.#isComplete && !this.#isClosed;) items += await this.#loadPage();
    } catch (error) {
      this.error = /** @type {Error} */ (error);
    }
    if (!this.#isClosed) this.#tell('all');
  }

  /** @returns {Promise<number>} how many items it brought */
  async #loadPage() {
    const life = this.#life;
    const before = this.#isLoaded ? this.#first : undefined;
    const had = this.#items.size;
    // The log is empty: no request is needed.
    if (!this.#isLoaded && this.#chat.last === 0) this.#take({ results: [], notes: [], first: 1, position: 0, has_more: false });
    else {
      await this.#page({ notes: true, limit: before === undefined ? FIRST_PAGE : PAGE, before }, (page) => {
        if (life === this.#life && !this.#isClosed) this.#take(page);
      });
    }
    return Math.max(0, this.#items.size - had);
  }

  /**
   * Requests a page, and gives it to `take`. `#told` has the events that arrived meanwhile.
   * @param {{ before?: number, limit: number, notes?: boolean }} window
   * @param {(page: MessagePage) => void} take
   */
  async #page(window, take) {
    const life = this.#life;
    // The answer includes the events that arrived before the request.
    const known = this.#chat.last ?? 0;
    this.#asked += 1;
    try {
      for (let repeats = 0; ; repeats += 1) {
        const page = await this.#salam.messages(this.#chat.group, window);
        // Another node may answer from an older state of the database.
        if (page.position >= known || life !== this.#life) return take(page);
        if (repeats === REPEATS) throw new SalamError('unavailable', 'The server answers with an older state of the chat.', { retry: true });
        await new Promise((resolve) => { setTimeout(resolve, AGAIN_AFTER); });
      }
    } finally {
      this.#asked -= 1;
      if (this.#asked === 0) this.#told = [];
    }
  }

  /** @param {MessagePage} page */
  #take({ results, notes = [], first: given, position, has_more: hasMore }) {
    // A server of an older version answers without notes.
    const first = given ?? (hasMore ? results[results.length - 1]?.seq ?? 1 : 1);
    if (this.#isLoaded && hasMore && first >= this.#first) throw new Error(`The page before ${this.#first} begins at ${first}.`);
    for (const message of results) {
      this.#items.set(message.seq, lineOf(message, position, this.#me));
      this.#know(message, position);
    }
    for (const note of notes) if (NOTES.includes(note.kind)) this.#items.set(note.seq, noteOf(note));
    if (!this.#isLoaded) this.#last = position;
    [this.#first, this.#isLoaded, this.#isComplete] = [first, true, !hasMore];
    for (const event of this.#told) {
      if (event.seq > this.#last) this.#append(event);
      const line = this.#items.get(event.data?.seq);
      if (line?.type === 'line') change(line, event, this.#me);
    }
  }

  /**
   * Stores whether the account of an author is active.
   * @param {Message} message
   * @param {number} position of its page
   */
  #know({ by, by_active: isActive }, position) {
    if (by === null) return;
    if (isActive === false) this.#inactive.set(by, position);
    else this.#inactive.delete(by);
  }

  /** Applies an event to the loaded items. @param {ChatEvent} event */
  #add(event) {
    if (this.#asked > 0) this.#told.push(event);
    if (!this.#isLoaded && this.#quoted.size === 0) return;
    const { seq, by, data } = event;
    // A user with a new event is active again.
    const isBack = by !== null && seq > (this.#inactive.get(by) ?? Infinity) && this.#inactive.delete(by);
    /** @type {Set<number>} */
    const changed = new Set();
    if (this.#isLoaded && seq > this.#last) {
      this.#append(event);
      changed.add(seq);
    }
    for (const line of [this.#items.get(data?.seq), this.#quoted.get(data?.seq)]) {
      if (line?.type === 'line' && change(line, event, this.#me)) changed.add(line.seq);
    }
    if (isBack || changed.size) this.#tell(isBack ? 'all' : [...changed]);
  }

  /** Makes an item of the next event of the log, if the event is shown. @param {ChatEvent} event */
  #append(event) {
    const { seq, at, by, kind, data } = event;
    this.#last = seq;
    if (NOTES.includes(kind)) this.#items.set(seq, noteOf(event));
    if (kind !== 'message.created') return;
    const { text, reply_to: replyTo = null } = data;
    this.#items.set(seq, { type: 'line', seq, at, by, text, edited: Boolean(data.edited), replyTo, reactions: new Map(), position: seq });
  }
}

/** @param {ChatEvent} event @returns {Note} */
const noteOf = ({ seq, at, by, kind, data }) => ({ type: 'note', seq, at, by, kind, data });

/**
 * @param {Message} message
 * @param {number} position the last event that it includes
 * @param {string} me
 * @returns {Line}
 */
function lineOf(message, position, me) {
  const { seq, at, by, text, reply_to: replyTo, edited_at: editedAt } = message;
  const reactions = message.reactions.map(({ emoji, count, mine, by: known = [] }) => {
    // Your own name is known, even if it is not one of the first.
    const names = mine ? [...known, me] : known;
    return /** @type {const} */ ([emoji, { count, mine, by: new Set(names) }]);
  });
  return { type: 'line', seq, at, by, text, edited: editedAt !== null, replyTo, reactions: new Map(reactions), position };
}

/**
 * Applies an event to a line, unless the line includes it already.
 * @param {Line} line
 * @param {ChatEvent} event
 * @param {string} me
 * @returns {boolean} whether it is about the line
 */
function change(line, { seq, by, kind, data }, me) {
  if (data?.seq !== line.seq || seq <= line.position) return false;
  line.position = seq;
  // A later edit follows an edit that was replaced.
  if (kind === 'message.edited' && line.text !== null && !data.replaced) [line.text, line.edited] = [data.text, true];
  if (kind === 'message.deleted') {
    [line.text, line.edited, line.replyTo] = [null, false, null];
    line.reactions.clear();
  }
  if (kind === 'reaction.added' && by) added(line, data.emoji, by, me);
  if (kind === 'reaction.removed' && by) removed(line, data.emoji, by, me);
  return true;
}

/**
 * @param {Line} line
 * @param {string} emoji
 * @param {string} by
 * @param {string} me
 */
function added({ reactions }, emoji, by, me) {
  const reacted = reactions.get(emoji) ?? { count: 0, mine: false, by: new Set() };
  reactions.set(emoji, reacted);
  reacted.count += 1;
  reacted.by.add(by);
  if (by === me) reacted.mine = true;
}

/**
 * @param {Line} line
 * @param {string} emoji
 * @param {string} by
 * @param {string} me
 */
function removed({ reactions }, emoji, by, me) {
  const reacted = reactions.get(emoji);
  if (!reacted) return;
  reacted.count -= 1;
  reacted.by.delete(by);
  if (by === me) reacted.mine = false;
  if (reacted.count <= 0) reactions.delete(emoji);
}
