// @ts-check
/**
 * What is to be shown of a chat: its log as lines and notes, from the end upwards, as far as it was
 * loaded. The log is all there is to it: what is loaded and what is told are the same events, in the
 * same numbers, so that it does not matter which of them comes first.
 *
 * @module timeline
 */

/**
 * @typedef {import('./salam.js').ChatEvent} ChatEvent
 * @typedef {import('./salam.js').Chat} Chat
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
 * @property {Map<string, Set<string>>} reactions who, by emoji
 *
 * @typedef {object} Note Something else that happened: who came, who left …
 * @property {'note'} type
 * @property {number} seq
 * @property {string} at
 * @property {string | null} by
 * @property {string} kind
 * @property {any} data
 */

/** Events that are loaded at once: the log is gapless, so their numbers are known. */
const PAGE = 100;

/** Lines that are wanted to begin with, and of each load. */
const ENOUGH = 25;

/** Milliseconds after which a line that is quoted may be asked for again, if it did not come. */
const QUOTED_AGAIN_AFTER = 5000;

const NOTES = ['member.joined', 'member.left', 'member.role', 'group.updated'];

export class Timeline {
  #salam;
  #chat;
  #tell;
  /** @type {Map<number, ChatEvent>} */
  #events = new Map();
  /** @type {Map<number, Line | Note>} */
  #items = new Map();
  /** @type {Map<number, Line | null | undefined>} lines that are quoted and not loaded; undefined until they come */
  #quoted = new Map();
  #first = 0;
  #last = 0;
  /** Is another number once what was known means nothing any more. */
  #life = 0;
  #isClosed = false;
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
  get isComplete() { return this.#first === 1 || (this.#first === 0 && this.#last === 0 && this.#chat.last === 0); }

  /** Whether anything is loaded. */
  get isOpen() { return this.#first > 0 || this.isComplete; }

  /** @param {number} seq */
  item(seq) { return this.#items.get(seq); }

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
    this.#salam.messages(this.#chat.group, { before: seq + 1, limit: 1 }).then(({ results: [message] }) => {
      const { at = '', by = null, text = null } = message?.seq === seq ? message : {};
      const line = { type: /** @type {const} */ ('line'), seq, at, by, text, edited: false, replyTo: null, reactions: new Map() };
      this.#quoted.set(seq, message?.seq === seq ? line : null);
      loaded();
    }, () => { setTimeout(() => this.#quoted.delete(seq), QUOTED_AGAIN_AFTER); });
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

  /** Numbers that were known mean nothing any more, or the gap is too wide to be told. */
  #begin() {
    for (const map of [this.#events, this.#items, this.#quoted]) map.clear();
    [this.#first, this.#last, this.#life] = [0, 0, this.#life + 1];
    this.#tell('all');
    this.load();
  }

  async #loadOlder() {
    this.error = null;
    try {
      for (let lines = 0; lines < ENOUGH && !this.isComplete && !this.#isClosed;) lines += await this.#loadPage();
    } catch (error) {
      this.error = /** @type {Error} */ (error);
    }
    this.#tell('all');
  }

  /** @returns {Promise<number>} how many lines it brought */
  async #loadPage() {
    const life = this.#life;
    const before = this.#first || (this.#chat.last ?? 0) + 1;
    const begin = Math.max(1, before - PAGE);
    /** @type {ChatEvent[]} */
    const loaded = [];
    for (let after = begin - 1; after < before - 1;) {
      // A page of long texts may hold less than it was asked for.
      const { results } = await this.#salam.events(this.#chat.group, { after, limit: before - 1 - after });
      if (life !== this.#life) return 0; // and the next page is of the new one
      if (!results.length) break;
      loaded.push(...results);
      after = loaded[loaded.length - 1].seq;
    }
    for (const event of loaded) this.#events.set(event.seq, event);
    this.#first = begin;
    this.#last = Math.max(this.#last, before - 1);
    this.#replay();
    return loaded.filter(({ kind }) => kind === 'message.created').length;
  }

  /** What is told of what is loaded already changes it; before that, it waits. @param {ChatEvent} event */
  #add(event) {
    this.#events.set(event.seq, event);
    if (this.#first && event.seq === this.#last + 1) {
      this.#last = event.seq;
      this.#tell(this.#apply(event));
    }
  }

  #replay() {
    this.#items.clear();
    while (this.#events.has(this.#last + 1)) this.#last += 1;
    for (let seq = this.#first; seq <= this.#last; seq += 1) {
      const event = this.#events.get(seq);
      if (event) this.#apply(event);
    }
  }

  /**
   * @param {ChatEvent} event
   * @returns {number[]} the lines that it changes
   */
  #apply({ seq, at, by, kind, data }) {
    if (NOTES.includes(kind)) this.#items.set(seq, { type: 'note', seq, at, by, kind, data });
    if (kind === 'message.created') {
      const { text, reply_to: replyTo = null } = data;
      this.#items.set(seq, { type: 'line', seq, at, by, text, edited: false, replyTo, reactions: new Map() });
    }
    const line = this.#items.get(data?.seq) ?? this.#quoted.get(data?.seq);
    if (line?.type !== 'line') return [seq];
    // A later edit follows an edit that was replaced.
    if (kind === 'message.edited' && line.text !== null && !data.replaced) [line.text, line.edited] = [data.text, true];
    if (kind === 'message.deleted') {
      line.text = null;
      line.reactions.clear();
    }
    if (kind === 'reaction.added' && by) line.reactions.set(data.emoji, (line.reactions.get(data.emoji) ?? new Set()).add(by));
    if (kind === 'reaction.removed' && by) {
      line.reactions.get(data.emoji)?.delete(by);
      if (!line.reactions.get(data.emoji)?.size) line.reactions.delete(data.emoji);
    }
    return [line.seq];
  }
}
