// @ts-check
/**
 * The visible part of a chat: its messages as lines, and some of its other events as notes. The timeline loads the
 * newest items first.
 *
 * A page of the server contains the state of the messages at a `position` of the log. A line includes each event up
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
 * @typedef {object} Line A message in its current state.
 * @property {'line'} type
 * @property {number} seq
 * @property {string} at
 * @property {string | null} by
 * @property {string | null} text null if the message was deleted
 * @property {boolean} edited
 * @property {number | null} replyTo
 * @property {Map<string, ReactionState>} reactions by emoji
 * @property {number} position the seq of the last event that the line includes
 *
 * @typedef {object} ReactionState The reactions with one emoji.
 * @property {number} count
 * @property {boolean} mine
 * @property {Set<string>} by the known usernames; the server sends only the first ones
 *
 * @typedef {object} Note Another event: a member that joined or left, a new title …
 * @property {'note'} type
 * @property {number} seq
 * @property {string} at
 * @property {string | null} by
 * @property {string} kind
 * @property {any} data
 */

/** Messages and notes of the first page, which must arrive soon, and of the other pages. */
const FIRST_PAGE = 50;
const PAGE = 100;

/** The minimum of lines and notes of each load. */
const MIN_ITEMS = 25;

/** A page that is older than the known events is requested again: at most so many times, after so many milliseconds. */
const REPEATS = 5;
const REPEAT_AFTER = 300;

/** Milliseconds after a failure in which a quoted line is not requested again. */
const QUOTE_RETRY_AFTER = 5000;

/** The kinds of Salam's own events that are shown as notes. */
const NOTES = ['member.joined', 'member.left', 'member.role', 'group.updated'];

/** The loaded lines and notes of one chat. */
export class Timeline {
  #salam;
  #chat;
  #onChange;
  /** @type {Map<number, Line | Note>} */
  #items = new Map();
  /** @type {Map<number, Line | null | undefined>} quoted lines that are not loaded; undefined until they arrive */
  #quoted = new Map();
  /** Authors whose accounts are inactive, each with the position of the page that contains this fact. @type {Map<string, number>} */
  #inactive = new Map();
  /** The range of events whose items are loaded. */
  #first = 0;
  #last = 0;
  #isLoaded = false;
  #isComplete = false;
  /** Increases at each reset. An answer of an earlier generation is outdated. */
  #generation = 0;
  #isClosed = false;
  /** The number of page requests that are under way. */
  #pageRequests = 0;
  /** Events that arrived during the requests that are under way: the pages may be older. @type {ChatEvent[]} */
  #arrived = [];
  /** @type {Promise<void> | null} */
  #loading = null;
  #unlisten;

  /** The kinds of events that are shown as notes. @type {Set<string>} */
  #noteKinds;
  /** The kinds of an application, separated by commas, for requests of pages. @type {string | undefined} */
  #extraKinds;

  /**
   * @param {Salam} salam
   * @param {Chat} chat
   * @param {(seqs: number[] | 'all') => void} onChange is called with the seqs of the changed items
   * @param {{ kinds?: Iterable<string> }} [options] `kinds`: further kinds of events that are shown as notes
   */
  constructor(salam, chat, onChange, { kinds = [] } = {}) {
    const extra = [...kinds];
    this.#noteKinds = new Set([...NOTES, ...extra]);
    this.#extraKinds = extra.length ? extra.join(',') : undefined;
    this.#salam = salam;
    this.#chat = chat;
    this.#onChange = onChange;
    this.#unlisten = [chat.on('event', (event) => this.#onEvent(event)), chat.on('reset', () => this.#restart())];
    /** The error of the last load, if the load failed. @type {Error | null} */
    this.error = null;
  }

  /** The loaded lines and notes, in order. */
  get items() { return [...this.#items.values()].sort((a, b) => a.seq - b.seq); }

  /** Whether the beginning of the log is loaded. */
  get isComplete() { return this.#isComplete; }

  /** Whether a page is loaded. */
  get isOpen() { return this.#isLoaded; }

  /** Returns a loaded item. @param {number} seq */
  item(seq) { return this.#items.get(seq); }

  /** Returns true if the account of an author is inactive, by a loaded page. @param {string | null} username */
  isInactive(username) { return username !== null && this.#inactive.has(username); }

  /**
   * Returns a quoted line, and requests it if it is not loaded.
   * @param {number} seq
   * @param {() => void} loaded is called when a requested line has arrived
   * @returns {Line | null | undefined} undefined while the line is unknown; null if the seq has no line
   */
  quoted(seq, loaded) {
    const item = this.#items.get(seq);
    if (item) return item.type === 'line' ? item : null;
    if (this.#quoted.has(seq)) return this.#quoted.get(seq);
    this.#quoted.set(seq, undefined); // so that the line is requested only once
    const generation = this.#generation;
    this.#page({ before: seq + 1, limit: 1 }, ({ results: [message], position }) => {
      if (generation !== this.#generation) return;
      const line = message?.seq === seq ? lineOf(message, position, this.#me) : null;
      this.#quoted.set(seq, line);
      if (line) this.#rememberActivity(message, position);
      if (line) for (const event of this.#arrived) applyToLine(line, event, this.#me);
      loaded();
    }).catch(() => { setTimeout(() => { if (generation === this.#generation) this.#quoted.delete(seq); }, QUOTE_RETRY_AFTER); });
    return undefined;
  }

  /** Loads older items; the first time, the end of the log. */
  load() {
    if (this.#chat.last === null) { // the chat has only just appeared
      const end = this.#chat.on('live', () => { end(); this.load(); });
      this.#unlisten.push(end);
      return Promise.resolve();
    }
    this.#loading ??= this.#loadOlder().finally(() => { this.#loading = null; });
    return this.#loading;
  }

  /** Stops following the chat. */
  close() {
    this.#isClosed = true;
    this.#unlisten.forEach((end) => end());
  }

  get #me() { return this.#salam.user?.username ?? ''; }

  /** Discards all items, and loads the end of the log again. */
  #restart() {
    for (const map of [this.#items, this.#quoted, this.#inactive]) map.clear();
    this.#arrived = [];
    [this.#first, this.#last, this.#generation] = [0, 0, this.#generation + 1];
    [this.#isLoaded, this.#isComplete] = [false, false];
    this.#onChange('all');
    this.load();
  }

  /** Loads pages until there are enough new items. */
  async #loadOlder() {
    this.error = null;
    try {
      for (let items = 0; items < MIN_ITEMS && !this.#isComplete && !this.#isClosed;) items += await this.#loadPage();
    } catch (error) {
      this.error = /** @type {Error} */ (error);
    }
    if (!this.#isClosed) this.#onChange('all');
  }

  /** Loads one page. @returns {Promise<number>} the number of new items */
  async #loadPage() {
    const generation = this.#generation;
    const before = this.#isLoaded ? this.#first : undefined;
    const had = this.#items.size;
    // An empty log needs no request.
    if (!this.#isLoaded && this.#chat.last === 0) this.#take({ results: [], notes: [], first: 1, position: 0, has_more: false });
    else {
      const window = { notes: true, kinds: this.#extraKinds, limit: before === undefined ? FIRST_PAGE : PAGE, before };
      await this.#page(window, (page) => {
        if (generation === this.#generation && !this.#isClosed) this.#take(page);
      });
    }
    return Math.max(0, this.#items.size - had);
  }

  /**
   * Requests a page, and gives it to `take`. `#arrived` contains the events that arrived during the request. @param {{
   * before?: number, limit: number, notes?: boolean, kinds?: string }} window @param {(page: MessagePage) => void} take
   */
  async #page(window, take) {
    const generation = this.#generation;
    // The page must include the events that arrived before the request.
    const known = this.#chat.last ?? 0;
    this.#pageRequests += 1;
    try {
      for (let repeats = 0; ; repeats += 1) {
        const page = await this.#salam.messages(this.#chat.group, window);
        // Another node may read an older state of the database.
        if (page.position >= known || generation !== this.#generation) return take(page);
        if (repeats === REPEATS) throw new SalamError('unavailable', 'The server returned an older state of the chat.', { retry: true });
        await new Promise((resolve) => { setTimeout(resolve, REPEAT_AFTER); });
      }
    } finally {
      this.#pageRequests -= 1;
      if (this.#pageRequests === 0) this.#arrived = [];
    }
  }

  /** Adds the items of a page, and applies the events that arrived during its request. @param {MessagePage} page */
  #take({ results, notes = [], first: given, position, has_more: hasMore }) {
    // A server of an older version sends no notes.
    const first = given ?? (hasMore ? results[results.length - 1]?.seq ?? 1 : 1);
    if (this.#isLoaded && hasMore && first >= this.#first) throw new Error(`The page before ${this.#first} begins at ${first}.`);
    for (const message of results) {
      this.#items.set(message.seq, lineOf(message, position, this.#me));
      this.#rememberActivity(message, position);
    }
    for (const note of notes) if (this.#noteKinds.has(note.kind)) this.#items.set(note.seq, noteOf(note));
    if (!this.#isLoaded) this.#last = position;
    [this.#first, this.#isLoaded, this.#isComplete] = [first, true, !hasMore];
    for (const event of this.#arrived) {
      if (event.seq > this.#last) this.#append(event);
      const line = this.#items.get(event.data?.seq);
      if (line?.type === 'line') applyToLine(line, event, this.#me);
    }
  }

  /**
   * Remembers whether the account of an author is active.
   * @param {Message} message
   * @param {number} position of its page
   */
  #rememberActivity({ by, by_active: isActive }, position) {
    if (by === null) return;
    if (isActive === false) this.#inactive.set(by, position);
    else this.#inactive.delete(by);
  }

  /** Applies an event to the loaded items. @param {ChatEvent} event */
  #onEvent(event) {
    if (this.#pageRequests > 0) this.#arrived.push(event);
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
      if (line?.type === 'line' && applyToLine(line, event, this.#me)) changed.add(line.seq);
    }
    if (isBack || changed.size) this.#onChange(isBack ? 'all' : [...changed]);
  }

  /** Adds the item of the next event of the log, if the page shows the event. @param {ChatEvent} event */
  #append(event) {
    const { seq, at, by, kind, data } = event;
    this.#last = seq;
    if (this.#noteKinds.has(kind)) this.#items.set(seq, noteOf(event));
    if (kind !== 'message.created') return;
    const { text, reply_to: replyTo = null } = data;
    this.#items.set(seq, { type: 'line', seq, at, by, text, edited: Boolean(data.edited), replyTo, reactions: new Map(), position: seq });
  }
}

/** Returns the note of an event. @param {ChatEvent} event @returns {Note} */
const noteOf = ({ seq, at, by, kind, data }) => ({ type: 'note', seq, at, by, kind, data });

/**
 * Returns the line of a message.
 * @param {Message} message
 * @param {number} position the seq of the last event that the message includes
 * @param {string} me
 * @returns {Line}
 */
function lineOf(message, position, me) {
  const { seq, at, by, text, reply_to: replyTo, edited_at: editedAt } = message;
  const reactions = message.reactions.map(({ emoji, count, mine, by: known = [] }) => {
    // The user's own name is known, even if it is not one of the first names.
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
 * @returns {boolean} whether the event has changed the line
 */
function applyToLine(line, { seq, by, kind, data }, me) {
  if (data?.seq !== line.seq || seq <= line.position) return false;
  line.position = seq;
  // A later edit follows an edit that was replaced.
  if (kind === 'message.edited' && line.text !== null && !data.replaced) [line.text, line.edited] = [data.text, true];
  if (kind === 'message.deleted') {
    [line.text, line.edited, line.replyTo] = [null, false, null];
    line.reactions.clear();
  }
  if (kind === 'reaction.added' && by) addReaction(line, data.emoji, by, me);
  if (kind === 'reaction.removed' && by) removeReaction(line, data.emoji, by, me);
  return true;
}

/**
 * Adds one reaction to a line.
 * @param {Line} line
 * @param {string} emoji
 * @param {string} by
 * @param {string} me
 */
function addReaction({ reactions }, emoji, by, me) {
  const reacted = reactions.get(emoji) ?? { count: 0, mine: false, by: new Set() };
  reactions.set(emoji, reacted);
  reacted.count += 1;
  reacted.by.add(by);
  if (by === me) reacted.mine = true;
}

/**
 * Removes one reaction from a line.
 * @param {Line} line
 * @param {string} emoji
 * @param {string} by
 * @param {string} me
 */
function removeReaction({ reactions }, emoji, by, me) {
  const reacted = reactions.get(emoji);
  if (!reacted) return;
  reacted.count -= 1;
  reacted.by.delete(by);
  if (by === me) reacted.mine = false;
  if (reacted.count <= 0) reactions.delete(emoji);
}
