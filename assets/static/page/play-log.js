// @ts-check
/** The log of the frames of a socket, in the order in which they were sent and received. */

import { make } from './dom.js';
import { LANGUAGE, text } from './texts.js';

/** The maximum of entries. Older entries are removed, so that the page stays fast. */
const ENTRIES = 500;

/** Pixels from the end within which the log scrolls to new entries. */
const NEAR_END = 40;

/** The fields of a rich frame to highlight. A quote inside a text is escaped, so a text never matches. */
const FIELDS = /"(?:type|seq|mode|dup|code)":(?:"[^"\\]*"|[\d.]+|true|false)/g;

const clock = new Intl.DateTimeFormat(LANGUAGE, {
  hour: '2-digit', minute: '2-digit', second: '2-digit', fractionalSecondDigits: 3, hourCycle: 'h23',
});

/** The log of one socket. */
export class Log {
  /** The id of the next animation frame; 0 without one. One read of the layout serves many entries. */
  #animationFrame = 0;

  /** @param {HTMLElement} root */
  constructor(root) {
    this.root = root;
  }

  /** Adds a sent frame. @param {string} raw */
  sent(raw) {
    this.#frame('→', text('play-sent'), raw, 'play-sent');
  }

  /** Adds a received frame. @param {string} raw @param {boolean} [replayed] */
  received(raw, replayed = false) {
    const entry = this.#frame('←', text('play-received'), raw, replayed ? 'play-replayed' : 'play-received');
    // A colour alone is not accessible.
    if (replayed) entry.append(make('span', { className: 'play-badge', dir: 'auto' }, text('play-replay')));
  }

  /** Adds a note of the page between the frames. @param {string} words */
  note(words) {
    this.#append('play-note', make('span', { className: 'play-words', dir: 'auto' }, words));
  }

  /** Removes all entries. */
  clear() {
    this.root.replaceChildren();
  }

  /**
   * Adds a frame.
   * @param {string} arrow
   * @param {string} spoken the meaning of the arrow, for screen readers
   * @param {string} raw
   * @param {string} className
   */
  #frame(arrow, spoken, raw, className) {
    const direction = make('span', { className: 'play-arrow' }, make('span', { ariaHidden: 'true' }, arrow), make('span', { className: 'unseen' }, spoken));
    return this.#append(className, direction, make('code', {}, ...highlighted(raw)));
  }

  /** Adds an entry. @param {string} className @param {Node[]} children */
  #append(className, ...children) {
    const { root } = this;
    if (!this.#animationFrame) this.#beforePaint();
    const time = make('span', { className: 'play-time' }, clock.format(new Date()));
    const entry = make('div', { className: `play-entry ${className}` }, time, ...children);
    root.append(entry);
    while (root.childElementCount > ENTRIES) root.firstElementChild?.remove();
    return entry;
  }

  /** Scrolls to the end before the next paint, unless the user has scrolled up. */
  #beforePaint() {
    const { root } = this;
    const follows = root.scrollHeight - root.scrollTop - root.clientHeight < NEAR_END;
    this.#animationFrame = requestAnimationFrame(() => {
      this.#animationFrame = 0;
      if (follows) root.scrollTop = root.scrollHeight;
    });
  }
}

/** Returns a frame with its fields highlighted. @param {string} raw @returns {(Node | string)[]} */
function highlighted(raw) {
  const pieces = [];
  let end = 0;
  for (const { 0: field, index } of raw.matchAll(FIELDS)) {
    pieces.push(raw.slice(end, index), make('mark', { className: 'play-mark' }, field));
    end = index + field.length;
  }
  return [...pieces, raw.slice(end)];
}
