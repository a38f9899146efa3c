// @ts-check
/** The list of messages of the open chat. It keeps the scroll position when items are added above. */

import { Timeline } from '../timeline.js';
import { on, part } from './dom.js';
import { errorText } from './errors.js';
import { eventNotes } from './extensions.js';
import { dayView, lineView, newView, noteView, pendingView } from './line.js';
import { Tools } from './tools.js';
import { dayOf, text } from './texts.js';

/**
 * @typedef {import('../salam.js').Salam} Salam
 * @typedef {import('../salam.js').Chat} Chat
 * @typedef {import('../timeline.js').Line} Line
 * @typedef {import('../timeline.js').Note} Note
 * @typedef {import('./dom.js').Part} Part
 *
 * @typedef {object} Surroundings The functions of the conversation that the list needs.
 * @property {(username: string | null) => string} nameOf
 * @property {(line: Line) => void} reply
 * @property {(line: Line) => void} edit
 * @property {() => void} leave moves the focus to the form for messages
 * @property {() => void} moved is called after each scroll and each change of the list
 */

/** Pixels from the end at which the list counts as being at its end. */
const AT_END = 48;

/** Pixels from the top at which the list loads older items. */
const NEAR_TOP = 600;

/** The maximum of items that are loaded to find the first unread line. */
const MAX_ITEMS = 500;

/** Milliseconds within which lines of one author are shown as one block. */
const SAME_BLOCK = 5 * 60_000;

/** The list of messages of one chat. */
export class Lines {
  #chat;
  #me;
  #view;
  #surroundings;
  #timeline;
  #tools;
  /** @type {Map<number, Part>} elements by seq; the heading of a day has the negative seq, the unread heading has 0 */
  #elements = new Map();
  /** @type {Map<string, Part>} */
  #pending = new Map();
  /** @type {Map<string, number>} the read positions of other members that this page has received */
  #readers = new Map();
  /** Lines of other members after this seq are unread. */
  #freshAfter;
  #isPlaced = false;
  #isAtEnd = true;
  /** @type {(() => void)[]} */
  #unlisten;
  /** @type {import('./line.js').LineContext} */
  #lineContext;

  /**
   * @param {Salam} salam
   * @param {Chat} chat
   * @param {Part} view of the conversation
   * @param {Surroundings} surroundings
   */
  constructor(salam, chat, view, surroundings) {
    this.#chat = chat;
    this.#me = salam.user?.username ?? '';
    this.#view = view;
    this.#surroundings = surroundings;
    this.#freshAfter = chat.unread > 0 ? chat.readSeq : Infinity;
    this.#timeline = new Timeline(salam, chat, (seqs) => this.show(seqs), { kinds: eventNotes.keys() });
    this.#tools = new Tools(chat, this.#me, (seq) => this.#line(seq), surroundings);
    this.#lineContext = {
      me: this.#me, nameOf: surroundings.nameOf, isInactive: (username) => this.#timeline.isInactive(username), react: (line, emoji) => this.#tools.react(line, emoji),
      quoted: (seq) => this.#timeline.quoted(seq, () => this.show('all')), go: (seq) => this.#go(seq),
    };
    this.#unlisten = [
      chat.on('pending', () => this.#showPending()),
      // Repeats a load that failed without a connection.
      chat.on('live', () => { if (this.#timeline.error) this.#timeline.load(); }),
      chat.on('read', ({ user, seq }) => { this.#readers.set(user, seq); this.#showReaders(); }),
    ];
    this.#listen();
  }

  get #scroll() { return part(this.#view, 'scroll'); }

  get #list() { return part(this.#view, 'lines'); }

  /** Whether the end of the list is visible. */
  get isAtEnd() { return this.#isPlaced && this.#isAtEnd; }

  /** Loads older items. */
  load() {
    this.#showEdge();
    return this.#timeline.load();
  }

  /** Removes the listeners. */
  close() {
    this.#timeline.close();
    this.#unlisten.forEach((end) => end());
  }

  /** Returns the user's last message that can be edited. */
  lastOwn() {
    return this.#timeline.items.findLast((item) => item.type === 'line' && item.by === this.#me && item.text !== null);
  }

  /** Is called when the page loses the focus: later messages are unread. */
  unseen() {
    if (this.#chat.unread === 0) this.#freshAfter = this.#chat.last ?? Infinity;
  }

  /** Scrolls to the end. */
  toEnd() {
    this.#scroll.scrollTop = this.#scroll.scrollHeight;
    this.#onScroll();
  }

  /** Shows changed items, and keeps the scroll position. @param {number[] | 'all'} seqs */
  show(seqs) {
    if (!this.#view.isConnected) return;
    const restore = this.#anchor();
    const changed = new Set(seqs === 'all' ? [] : seqs);
    // A changed line also changes the lines that quote it.
    const isChanged = (/** @type {Line | Note} */ item) => changed.has(item.seq) || (item.type === 'line' && changed.has(item.replyTo ?? 0));
    arrange(this.#list, this.#elementsInOrder((item) => seqs === 'all' || isChanged(item)));
    this.#showEdge();
    this.#showReaders();
    this.#tools.refresh();
    const isReady = !this.#isPlaced && this.#timeline.isOpen;
    if (isReady && this.#hasFresh) this.#placeFirst();
    else if (isReady) setTimeout(() => this.#loadOlder()); // after the end of the current load
    else if (this.#isAtEnd) this.toEnd();
    else restore();
    this.#surroundings.moved();
    if (this.#scroll.scrollTop < NEAR_TOP) this.#loadOlder();
  }

  #listen() {
    const resized = new ResizeObserver(() => { if (this.#isAtEnd) this.toEnd(); });
    resized.observe(this.#scroll);
    this.#unlisten.push(() => resized.disconnect());
    on(this.#scroll, 'scroll', () => this.#onScroll());
    on(part(this.#view, 'again'), 'click', () => this.#timeline.load());
    // A touched line gets the focus, so only the mouse needs this listener.
    on(this.#list, 'pointerover', ({ target, pointerType }) => { if (pointerType === 'mouse') this.#showTools(target.closest('.line')); });
    on(this.#list, 'focusin', ({ target }) => this.#onFocus(target.closest('.line')));
    on(this.#list, 'keydown', (event) => this.#onKey(event));
  }

  /**
   * Returns all elements in order. Creates missing elements, and fills outdated ones again.
   * @param {(item: Line | Note) => boolean} isChanged
   */
  #elementsInOrder(isChanged) {
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
      if (isNew) elements.push(this.#cached(0, newView));
      const follows = today === day && !isNew && before !== null && isSameBlock(before, item);
      elements.push(this.#element(item, follows, isChanged(item)));
      [before, day] = [item, today];
      hasNew ||= isNew;
    }
    return elements;
  }

  /** Returns the heading of a day. Its text is set again, because "today" may have become "yesterday". @param {Line | Note} item */
  #dayOf({ seq, at }) {
    const element = this.#cached(-seq, () => dayView(at));
    /** @type {HTMLElement} */ (element.firstElementChild).textContent = dayOf(new Date(at));
    return element;
  }

  /** Returns the line of a seq. @param {number} seq */
  #line(seq) {
    const item = this.#timeline.item(seq);
    return item?.type === 'line' ? item : undefined;
  }

  /**
   * Returns the element of an item.
   * @param {Line | Note} item
   * @param {boolean} follows
   * @param {boolean} isChanged
   */
  #element(item, follows, isChanged) {
    const known = this.#elements.get(item.seq);
    if (known && !isChanged && known.classList.contains('follows') === follows) return known;
    const element = item.type === 'line' ? lineView(item, follows, this.#lineContext, known) : noteView(item, this.#lineContext.nameOf);
    this.#elements.set(item.seq, element);
    return element;
  }

  /**
   * Returns the element of a key, and creates it if it is missing.
   * @param {number} key
   * @param {() => Part} view
   */
  #cached(key, view) {
    const element = this.#elements.get(key) ?? view();
    this.#elements.set(key, element);
    return element;
  }

  /** Shows the messages that are not in the log yet. */
  #showPending() {
    const messages = this.#chat.pending;
    for (const cid of this.#pending.keys()) if (!messages.some((message) => message.cid === cid)) this.#pending.delete(cid);
    arrange(part(this.#view, 'pending'), messages.map((message) => {
      const { cid } = message;
      const actions = { retry: () => this.#chat.retry(cid), discard: () => this.#chat.discard(cid) };
      const element = pendingView(message, this.#lineContext, actions, this.#pending.get(cid));
      this.#pending.set(cid, element);
      return element;
    }));
    if (this.#isAtEnd) this.toEnd();
  }

  /** Shows below the user's last line who has read it. */
  #showReaders() {
    const mine = this.#timeline.items.filter(({ type, by }) => type === 'line' && by === this.#me).slice(-2);
    for (const { seq } of mine) {
      const isLast = seq === mine[mine.length - 1].seq;
      const readers = [...this.#readers].filter(([, read]) => isLast && read >= seq).map(([username]) => this.#lineContext.nameOf(username));
      const element = this.#elements.get(seq);
      if (element) part(element, 'state').textContent = readers.length ? text('read-by', { names: readers.join(text('list-comma')) }) : '';
    }
  }

  /** Shows above the list whether older items are loaded, are loading, or could not be loaded. */
  #showEdge() {
    const { error, isComplete } = this.#timeline;
    part(this.#view, 'edge').textContent = error ? errorText(error) : isComplete ? text('beginning') : text('loading');
    part(this.#view, 'again').hidden = !error;
  }

  /** Loads older items if there are more. */
  #loadOlder() {
    // After a failure, the user decides when to repeat the load.
    if (!this.#timeline.isComplete && !this.#timeline.error) this.#timeline.load();
  }

  /** Returns a function that moves the first visible line back to its current place, after items were added above. */
  #anchor() {
    const scroll = this.#scroll;
    const { top } = scroll.getBoundingClientRect();
    // Headings cannot be the anchor: they move when items are added above them.
    const seen = [...this.#list.querySelectorAll('.line, .note')].find((element) => element.getBoundingClientRect().bottom > top);
    const before = seen?.getBoundingClientRect().top ?? 0;
    return () => { if (seen?.isConnected) scroll.scrollTop += seen.getBoundingClientRect().top - before; };
  }

  /** Whether the first unread line is loaded, or the maximum of items. */
  get #hasFresh() {
    const { items, isComplete, error } = this.#timeline;
    return this.#freshAfter === Infinity || isComplete || error !== null || items.length >= MAX_ITEMS || (items[0]?.seq ?? 0) <= this.#freshAfter;
  }

  /** Scrolls to the first unread line, or to the end. */
  #placeFirst() {
    this.#showPending();
    this.#isPlaced = true; // only now: a line that was not shown must not count as read
    const fresh = this.#elements.get(0);
    if (!fresh) return this.toEnd();
    this.#scroll.scrollTop = fresh.offsetTop - this.#scroll.clientHeight / 3;
    this.#onScroll();
  }

  #onScroll() {
    const { scrollTop, scrollHeight, clientHeight } = this.#scroll;
    this.#isAtEnd = scrollHeight - scrollTop - clientHeight < AT_END;
    if (scrollTop < NEAR_TOP && this.#isPlaced) this.#loadOlder();
    this.#surroundings.moved();
  }

  /** Scrolls to a line, which may not be loaded yet. @param {number} seq */
  async #go(seq) {
    while (!this.#timeline.item(seq) && !this.#timeline.isComplete && !this.#timeline.error) await this.#timeline.load();
    const element = this.#elements.get(seq);
    if (!element) return;
    element.scrollIntoView({ block: 'center' });
    element.focus({ preventScroll: true });
    element.classList.add('found');
    setTimeout(() => element.classList.remove('found'), 1500);
  }

  /** Shows the tools at a line. @param {HTMLElement | null | undefined} element */
  #showTools(element) {
    if (element?.dataset.seq) this.#tools.put(element, this.#line(Number(element.dataset.seq)));
  }

  /** Makes the focused line, and the controls in it, the only ones that the Tab key reaches. @param {Part | null} element */
  #onFocus(element) {
    if (!element) return;
    for (const other of this.#list.querySelectorAll('.line[tabindex="0"]')) if (other !== element) setTabIndex(other, -1);
    setTabIndex(element, 0);
    this.#showTools(element);
  }

  /** Moves the focus between lines. @param {KeyboardEvent} event */
  #onKey(event) {
    const target = /** @type {HTMLElement} */ (event.target);
    const lines = /** @type {HTMLElement[]} */ ([...this.#list.querySelectorAll('.line')]);
    const at = lines.indexOf(target);
    if (event.key === 'Escape') {
      if (at < 0) /** @type {HTMLElement | null} */ (target.closest('.line'))?.focus();
      else this.#surroundings.leave();
    }
    const to = { ArrowUp: at - 1, ArrowDown: at + 1, Home: 0, End: lines.length - 1 }[event.key];
    if (at < 0 || to === undefined) return;
    event.preventDefault();
    lines[to]?.focus();
  }
}

/**
 * Returns true if two items belong to one block.
 * @param {Line | Note} before
 * @param {Line | Note} item
 */
function isSameBlock(before, item) {
  return item.type === 'line' && before.type === 'line' && before.by === item.by && Date.parse(item.at) - Date.parse(before.at) < SAME_BLOCK;
}

/**
 * Sets the tab index of a line and of the controls in it.
 * @param {Element} element
 * @param {number} tabIndex
 */
function setTabIndex(element, tabIndex) {
  for (const it of [element, ...element.querySelectorAll('.quote, .chip, pre')]) /** @type {HTMLElement} */ (it).tabIndex = tabIndex;
}

/**
 * Puts elements into a list in this order. An element in the right place is not moved, because a moved element
 * loses the focus.
 * @param {HTMLElement} list
 * @param {HTMLElement[]} elements
 */
function arrange(list, elements) {
  const wanted = new Set(elements);
  for (const element of [...list.children]) if (!wanted.has(/** @type {HTMLElement} */ (element))) element.remove();
  let next = list.firstElementChild;
  for (const element of elements) {
    if (element === next) next = next.nextElementSibling;
    else list.insertBefore(element, next);
  }
  if (list.contains(document.activeElement)) return;
  // The Tab key reaches the last line from the form for messages.
  const last = [...list.querySelectorAll('.line')].at(-1);
  for (const other of list.querySelectorAll('.line[tabindex="0"]')) if (other !== last) setTabIndex(other, -1);
  if (last) setTabIndex(last, 0);
}
