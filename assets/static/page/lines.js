// @ts-check
/** The messages of a chat that is looked at: laid out in order, and kept where the eye is. */

import { Timeline } from '../timeline.js';
import { on, part } from './dom.js';
import { dayView, lineView, newView, noteView, pendingView } from './line.js';
import { Tools } from './tools.js';
import { dayOf, fault, text } from './texts.js';

/**
 * @typedef {import('../salam.js').Salam} Salam
 * @typedef {import('../salam.js').Chat} Chat
 * @typedef {import('../timeline.js').Line} Line
 * @typedef {import('../timeline.js').Note} Note
 * @typedef {import('./dom.js').Part} Part
 *
 * @typedef {object} Around What stands around the lines.
 * @property {(username: string | null) => string} nameOf
 * @property {(line: Line) => void} reply
 * @property {(line: Line) => void} edit
 * @property {() => void} leave puts the focus where one writes
 * @property {() => void} moved is called when something was scrolled or shown
 */

/** Pixels from an end at which one is taken to be there, or is nearly there. */
const AT_END = 48;
const NEAR_TOP = 600;

/** Lines that are loaded at most to find the first that is new. */
const ENOUGH = 500;

/** Milliseconds within which lines of one person stand together. */
const TOGETHER = 5 * 60_000;

export class Lines {
  #chat;
  #me;
  #view;
  #around;
  #timeline;
  #tools;
  /** @type {Map<number, Part>} elements by their number: those of days have it negative, that of what is new 0 */
  #elements = new Map();
  /** @type {Map<string, Part>} */
  #pending = new Map();
  /** @type {Map<string, number>} how far others have read, as far as this page was told */
  #readers = new Map();
  #freshAfter;
  #isPlaced = false;
  #isAtEnd = true;
  /** @type {(() => void)[]} */
  #ends;
  /** @type {import('./line.js').Eyes} */
  #eyes;

  /**
   * @param {Salam} salam
   * @param {Chat} chat
   * @param {Part} view of the conversation
   * @param {Around} around
   */
  constructor(salam, chat, view, around) {
    this.#chat = chat;
    this.#me = salam.user?.username ?? '';
    this.#view = view;
    this.#around = around;
    this.#freshAfter = chat.unread > 0 ? chat.readSeq : Infinity;
    this.#timeline = new Timeline(salam, chat, (seqs) => this.show(seqs));
    this.#tools = new Tools(chat, this.#me, (seq) => this.#line(seq), around);
    this.#eyes = {
      me: this.#me, nameOf: around.nameOf, isInactive: (username) => this.#timeline.isInactive(username), react: (line, emoji) => this.#tools.react(line, emoji),
      quoted: (seq) => this.#timeline.quoted(seq, () => this.show('all')), go: (seq) => this.#go(seq),
    };
    this.#ends = [
      chat.on('pending', () => this.#showPending()),
      // What could not be loaded while the server was away.
      chat.on('live', () => { if (this.#timeline.error) this.#timeline.load(); }),
      chat.on('read', ({ user, seq }) => { this.#readers.set(user, seq); this.#showReaders(); }),
    ];
    this.#listen();
  }

  get #scroll() { return part(this.#view, 'scroll'); }

  get #list() { return part(this.#view, 'lines'); }

  /** Whether the end is seen, and with it all that there is. */
  get isAtEnd() { return this.#isPlaced && this.#isAtEnd; }

  load() {
    this.#edge();
    return this.#timeline.load();
  }

  close() {
    this.#timeline.close();
    this.#ends.forEach((end) => end());
  }

  /** Your last message that can be edited. */
  lastOwn() {
    return this.#timeline.items.findLast((item) => item.type === 'line' && item.by === this.#me && item.text !== null);
  }

  /** Nobody looks any more: what comes from now on is new. */
  unseen() {
    if (this.#chat.unread === 0) this.#freshAfter = this.#chat.last ?? Infinity;
  }

  toEnd() {
    this.#scroll.scrollTop = this.#scroll.scrollHeight;
    this.#scrolled();
  }

  /** Shows what has changed, and keeps the eye where it was. @param {number[] | 'all'} seqs */
  show(seqs) {
    if (!this.#view.isConnected) return;
    const stay = this.#anchor();
    const changed = new Set(seqs === 'all' ? [] : seqs);
    // With a line those change that quote it.
    const isChanged = (/** @type {Line | Note} */ item) => changed.has(item.seq) || (item.type === 'line' && changed.has(item.replyTo ?? 0));
    place(this.#list, this.#laidOut((item) => seqs === 'all' || isChanged(item)));
    this.#edge();
    this.#showReaders();
    this.#tools.refresh();
    const isReady = !this.#isPlaced && this.#timeline.isOpen;
    if (isReady && this.#hasFresh) this.#placeFirst();
    else if (isReady) setTimeout(() => this.#older()); // after the load that has just ended
    else if (this.#isAtEnd) this.toEnd();
    else stay();
    this.#around.moved();
    if (this.#scroll.scrollTop < NEAR_TOP) this.#older();
  }

  #listen() {
    const resized = new ResizeObserver(() => { if (this.#isAtEnd) this.toEnd(); });
    resized.observe(this.#scroll);
    this.#ends.push(() => resized.disconnect());
    on(this.#scroll, 'scroll', () => this.#scrolled());
    on(part(this.#view, 'again'), 'click', () => this.#timeline.load());
    // What is touched gets the focus.
    on(this.#list, 'pointerover', ({ target, pointerType }) => { if (pointerType === 'mouse') this.#tool(target.closest('.line')); });
    on(this.#list, 'focusin', ({ target }) => this.#focused(target.closest('.line')));
    on(this.#list, 'keydown', (event) => this.#press(event));
  }

  /**
   * All elements in order, made or filled anew where need be.
   * @param {(item: Line | Note) => boolean} isChanged
   */
  #laidOut(isChanged) {
    const elements = [];
    /** @type {Line | Note | null} */
    let before = null;
    let day = '';
    let hasNew = false;
    for (const item of this.#timeline.items) {
      const today = dayOf(new Date(item.at));
      /** @type {boolean} */
      const isNew = !hasNew && item.seq > this.#freshAfter && item.type === 'line' && item.by !== this.#me;
      if (today !== day) elements.push(this.#dayOf(item));
      if (isNew) elements.push(this.#kept(0, newView));
      const follows = today === day && !isNew && before !== null && isTogether(before, item);
      elements.push(this.#element(item, follows, isChanged(item)));
      [before, day] = [item, today];
      hasNew ||= isNew;
    }
    return elements;
  }

  /** What was today when it was made may be yesterday. @param {Line | Note} item */
  #dayOf({ seq, at }) {
    const element = this.#kept(-seq, () => dayView(at));
    /** @type {HTMLElement} */ (element.firstElementChild).textContent = dayOf(new Date(at));
    return element;
  }

  /** @param {number} seq */
  #line(seq) {
    const item = this.#timeline.item(seq);
    return item?.type === 'line' ? item : undefined;
  }

  /**
   * @param {Line | Note} item
   * @param {boolean} follows
   * @param {boolean} isChanged
   */
  #element(item, follows, isChanged) {
    const known = this.#elements.get(item.seq);
    if (known && !isChanged && known.classList.contains('follows') === follows) return known;
    const element = item.type === 'line' ? lineView(item, follows, this.#eyes, known) : noteView(item, this.#eyes.nameOf);
    this.#elements.set(item.seq, element);
    return element;
  }

  /**
   * @param {number} key
   * @param {() => Part} view
   */
  #kept(key, view) {
    const element = this.#elements.get(key) ?? view();
    this.#elements.set(key, element);
    return element;
  }

  #showPending() {
    const messages = this.#chat.pending;
    for (const cid of this.#pending.keys()) if (!messages.some((message) => message.cid === cid)) this.#pending.delete(cid);
    place(part(this.#view, 'pending'), messages.map((message) => {
      const { cid } = message;
      const remedies = { retry: () => this.#chat.retry(cid), discard: () => this.#chat.discard(cid) };
      const element = pendingView(message, this.#eyes, remedies, this.#pending.get(cid));
      this.#pending.set(cid, element);
      return element;
    }));
    if (this.#isAtEnd) this.toEnd();
  }

  /** Below your last line, who has read it. */
  #showReaders() {
    const mine = this.#timeline.items.filter(({ type, by }) => type === 'line' && by === this.#me).slice(-2);
    for (const { seq } of mine) {
      const isLast = seq === mine[mine.length - 1].seq;
      const readers = [...this.#readers].filter(([, read]) => isLast && read >= seq).map(([username]) => this.#eyes.nameOf(username));
      const element = this.#elements.get(seq);
      if (element) part(element, 'state').textContent = readers.length ? text('read-by', { names: readers.join(text('list-comma')) }) : '';
    }
  }

  #edge() {
    const { error, isComplete } = this.#timeline;
    part(this.#view, 'edge').textContent = error ? fault(error) : isComplete ? text('beginning') : text('loading');
    part(this.#view, 'again').hidden = !error;
  }

  #older() {
    // After a failure it is the reader who tries again.
    if (!this.#timeline.isComplete && !this.#timeline.error) this.#timeline.load();
  }

  /** What puts the first line that is seen back to where it is now, after lines came in above it. */
  #anchor() {
    const scroll = this.#scroll;
    const { top } = scroll.getBoundingClientRect();
    // Headings of days, and that of what is new, move when something comes in above them.
    const seen = [...this.#list.querySelectorAll('.line, .note')].find((element) => element.getBoundingClientRect().bottom > top);
    const before = seen?.getBoundingClientRect().top ?? 0;
    return () => { if (seen?.isConnected) scroll.scrollTop += seen.getBoundingClientRect().top - before; };
  }

  /** Whether the first line that is new is loaded; or so many that one begins where they do. */
  get #hasFresh() {
    const { items, isComplete, error } = this.#timeline;
    return this.#freshAfter === Infinity || isComplete || error !== null || items.length >= ENOUGH || (items[0]?.seq ?? 0) <= this.#freshAfter;
  }

  /** To what is new, or to the end. */
  #placeFirst() {
    this.#showPending();
    this.#isPlaced = true; // and not before: what was not shown is not read
    const fresh = this.#elements.get(0);
    if (!fresh) return this.toEnd();
    this.#scroll.scrollTop = fresh.offsetTop - this.#scroll.clientHeight / 3;
    this.#scrolled();
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.#scroll;
    this.#isAtEnd = scrollHeight - scrollTop - clientHeight < AT_END;
    if (scrollTop < NEAR_TOP && this.#isPlaced) this.#older();
    this.#around.moved();
  }

  /** To a line that may not be loaded yet. @param {number} seq */
  async #go(seq) {
    while (!this.#timeline.item(seq) && !this.#timeline.isComplete && !this.#timeline.error) await this.#timeline.load();
    const element = this.#elements.get(seq);
    if (!element) return;
    element.scrollIntoView({ block: 'center' });
    element.focus({ preventScroll: true });
    element.classList.add('found');
    setTimeout(() => element.classList.remove('found'), 1500);
  }

  /** @param {HTMLElement | null | undefined} element */
  #tool(element) {
    if (element?.dataset.seq) this.#tools.put(element, this.#line(Number(element.dataset.seq)));
  }

  /** One line at a time is in the order of Tab, with what is in it. @param {Part | null} element */
  #focused(element) {
    if (!element) return;
    for (const other of this.#list.querySelectorAll('.line[tabindex="0"]')) if (other !== element) reach(other, -1);
    reach(element, 0);
    this.#tool(element);
  }

  /** @param {KeyboardEvent} event */
  #press(event) {
    const target = /** @type {HTMLElement} */ (event.target);
    const lines = /** @type {HTMLElement[]} */ ([...this.#list.querySelectorAll('.line')]);
    const at = lines.indexOf(target);
    if (event.key === 'Escape') {
      if (at < 0) /** @type {HTMLElement | null} */ (target.closest('.line'))?.focus();
      else this.#around.leave();
    }
    const to = { ArrowUp: at - 1, ArrowDown: at + 1, Home: 0, End: lines.length - 1 }[event.key];
    if (at < 0 || to === undefined) return;
    event.preventDefault();
    lines[to]?.focus();
  }
}

/**
 * @param {Line | Note} before
 * @param {Line | Note} item
 */
function isTogether(before, item) {
  return item.type === 'line' && before.type === 'line' && before.by === item.by && Date.parse(item.at) - Date.parse(before.at) < TOGETHER;
}

/**
 * @param {Element} element
 * @param {number} tabIndex
 */
function reach(element, tabIndex) {
  for (const it of [element, ...element.querySelectorAll('.quote, .chip, pre')]) /** @type {HTMLElement} */ (it).tabIndex = tabIndex;
}

/**
 * Puts elements into a list in this order, moving none that is where it should be: what is moved loses
 * its focus.
 * @param {HTMLElement} list
 * @param {HTMLElement[]} elements
 */
function place(list, elements) {
  const wanted = new Set(elements);
  for (const element of [...list.children]) if (!wanted.has(/** @type {HTMLElement} */ (element))) element.remove();
  let next = list.firstElementChild;
  for (const element of elements) {
    if (element === next) next = next.nextElementSibling;
    else list.insertBefore(element, next);
  }
  if (list.contains(document.activeElement)) return;
  // Whoever comes from where one writes comes to what was said last.
  const last = [...list.querySelectorAll('.line')].at(-1);
  for (const other of list.querySelectorAll('.line[tabindex="0"]')) if (other !== last) reach(other, -1);
  if (last) reach(last, 0);
}
