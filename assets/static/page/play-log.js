// @ts-check
/** The frames of a socket, as they are, in the order in which they came and went. */

import { make } from './dom.js';
import { LANGUAGE, text } from './texts.js';

/** What is older is forgotten: a learner does not scroll up for it, and the page stays quick. */
const ENTRIES = 500;

/** So near to its end, in pixels, a log goes on to show what comes. */
const NEAR = 40;

/** What stands out in a rich frame. A quote within a text is escaped there: it is no field. */
const FIELDS = /"(?:type|seq|mode|dup|code)":(?:"[^"\\]*"|[\d.]+|true|false)/g;

const clock = new Intl.DateTimeFormat(LANGUAGE, {
  hour: '2-digit', minute: '2-digit', second: '2-digit', fractionalSecondDigits: 3, hourCycle: 'h23',
});

export class Log {
  /** The next time that it is painted; 0 where that has been. One look at the layout serves many frames. */
  #painting = 0;

  /** @param {HTMLElement} root */
  constructor(root) {
    this.root = root;
  }

  /** @param {string} raw */
  sent(raw) {
    this.#frame('→', text('play-sent'), raw, 'play-sent');
  }

  /** @param {string} raw @param {boolean} [replayed] */
  received(raw, replayed = false) {
    const entry = this.#frame('←', text('play-received'), raw, replayed ? 'play-replayed' : 'play-received');
    // Colour alone does not say it.
    if (replayed) entry.append(make('span', { className: 'play-badge', dir: 'auto' }, text('play-again')));
  }

  /** What the page has to say between frames. @param {string} words */
  note(words) {
    this.#append('play-note', make('span', { className: 'play-words', dir: 'auto' }, words));
  }

  clear() {
    this.root.replaceChildren();
  }

  /**
   * @param {string} arrow
   * @param {string} spoken what the arrow means
   * @param {string} raw
   * @param {string} className
   */
  #frame(arrow, spoken, raw, className) {
    const direction = make('span', { className: 'play-arrow' }, make('span', { ariaHidden: 'true' }, arrow), make('span', { className: 'unseen' }, spoken));
    return this.#append(className, direction, make('code', {}, ...highlighted(raw)));
  }

  /** @param {string} className @param {Node[]} children */
  #append(className, ...children) {
    const { root } = this;
    if (!this.#painting) this.#beforePaint();
    const time = make('span', { className: 'play-time' }, clock.format(new Date()));
    const entry = make('div', { className: `play-entry ${className}` }, time, ...children);
    root.append(entry);
    while (root.childElementCount > ENTRIES) root.firstElementChild?.remove();
    return entry;
  }

  /** Goes on to show what comes if it is at its end: who has scrolled up to read is left there. */
  #beforePaint() {
    const { root } = this;
    const follows = root.scrollHeight - root.scrollTop - root.clientHeight < NEAR;
    this.#painting = requestAnimationFrame(() => {
      this.#painting = 0;
      if (follows) root.scrollTop = root.scrollHeight;
    });
  }
}

/** The same text, in pieces. @param {string} raw @returns {(Node | string)[]} */
function highlighted(raw) {
  const pieces = [];
  let end = 0;
  for (const { 0: field, index } of raw.matchAll(FIELDS)) {
    pieces.push(raw.slice(end, index), make('mark', { className: 'play-mark' }, field));
    end = index + field.length;
  }
  return [...pieces, raw.slice(end)];
}
