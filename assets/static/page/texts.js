// @ts-check
/** The texts of the page, in the language of the request. The server compiles them from Fluent. */

/** @typedef {string | (string | { var: string } | { select: string, cases: Record<string, Pattern>, default: string })[]} Pattern */

/** @type {Record<string, Pattern>} */
const TEXTS = JSON.parse(document.getElementById('texts')?.textContent ?? '{}');

export const LANGUAGE = document.documentElement.lang;

const plurals = new Intl.PluralRules(LANGUAGE);
const numbers = new Intl.NumberFormat(LANGUAGE);

/**
 * Returns the text with an id. Unicode isolates keep inserted texts from changing its direction.
 * @param {string} id
 * @param {Record<string, string | number>} [args]
 * @returns {string}
 */
export function text(id, args = {}) {
  return id in TEXTS ? formatted(TEXTS[id], args) : id;
}

/**
 * Fills a pattern.
 * @param {Pattern} pattern
 * @param {Record<string, string | number>} args
 * @returns {string}
 */
function formatted(pattern, args) {
  if (typeof pattern === 'string') return pattern;
  return pattern.map((piece) => {
    if (typeof piece === 'string') return piece;
    if ('var' in piece) return inserted(args[piece.var]);
    const value = args[piece.select];
    const category = typeof value === 'number' ? plurals.select(value) : '';
    return formatted(piece.cases[value] ?? piece.cases[category] ?? piece.cases[piece.default], args);
  }).join('');
}

/** Returns a value for insertion. @param {string | number | undefined} value */
const inserted = (value) => (typeof value === 'number' ? numbers.format(value) : `\u2068${plain(value ?? '')}\u2069`);

/** Returns a name or title without the characters that change the direction of the text next to it. @param {string} name */
export const plain = (name) => name.replace(/[\u202a-\u202e\u2066-\u2069\u200e\u200f\u061c]/g, '');

/** Letters of scripts that are written from right to left. */
const RIGHT_TO_LEFT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u;

/**
 * Returns the direction of a text, by its first letter; an empty string for a text without letters. An element with
 * this `dir` truncates a long text at its end, not at its beginning.
 * @param {string} words
 */
export function directionOf(words) {
  const letter = words.match(/\p{L}/u)?.[0];
  if (letter === undefined) return '';
  return RIGHT_TO_LEFT.test(letter) ? 'rtl' : 'ltr';
}

/** Returns a username that keeps its direction inside right-to-left text. @param {string} username */
export const handle = (username) => `\u2066@${username}\u2069`;

/** Returns a number in the language of the page. @param {number} value */
export const number = (value) => numbers.format(value);

const clock = new Intl.DateTimeFormat(LANGUAGE, { hour: 'numeric', minute: '2-digit' });
const weekday = new Intl.DateTimeFormat(LANGUAGE, { weekday: 'long' });
const day = new Intl.DateTimeFormat(LANGUAGE, { weekday: 'long', day: 'numeric', month: 'long' });
const date = new Intl.DateTimeFormat(LANGUAGE, { day: 'numeric', month: 'long', year: 'numeric' });
const short = new Intl.DateTimeFormat(LANGUAGE, { day: 'numeric', month: 'short' });
const full = new Intl.DateTimeFormat(LANGUAGE, { dateStyle: 'full', timeStyle: 'medium' });
const relative = new Intl.RelativeTimeFormat(LANGUAGE, { numeric: 'auto' });

/** Returns the number of days from a time to today, by the calendar of this device. @param {Date} at */
function daysAgo(at) {
  const midnight = (/** @type {Date} */ moment) => new Date(moment).setHours(0, 0, 0, 0);
  return Math.round((midnight(new Date()) - midnight(at)) / 86_400_000);
}

/** Returns hours and minutes. @param {Date} at */
export const timeOf = (at) => clock.format(at);

/** Returns the full date and time. @param {Date} at */
export const fullTime = (at) => full.format(at);

/** Returns the day as a heading: today, yesterday, Monday, 3 May 2026. @param {Date} at */
export function dayOf(at) {
  const ago = daysAgo(at);
  if (ago < 2) return capital(relative.format(-ago, 'day'));
  return ago < 200 ? day.format(at) : date.format(at);
}

/** Returns the time for today, otherwise the day, in the shortest form. @param {Date} at */
export function shortTime(at) {
  const ago = daysAgo(at);
  if (ago < 1) return clock.format(at);
  if (ago === 1) return capital(relative.format(-1, 'day'));
  return ago < 7 ? weekday.format(at) : short.format(at);
}

/** Returns the time from now, in the past or in the future. @param {Date} at */
export function fromNow(at) {
  const seconds = (at.getTime() - Date.now()) / 1000;
  for (const [unit, length] of /** @type {[Intl.RelativeTimeFormatUnit, number][]} */ ([['day', 86_400], ['hour', 3600], ['minute', 60]])) {
    if (Math.abs(seconds) >= length) return relative.format(Math.round(seconds / length), unit);
  }
  return relative.format(0, 'second');
}

/** Returns a text with a capital first letter. @param {string} words */
const capital = (words) => words.charAt(0).toLocaleUpperCase(LANGUAGE) + words.slice(1);
