// @ts-check
/** What the page says, in the language in which it was asked for; the server compiles it from Fluent. */

/** @typedef {string | (string | { var: string } | { select: string, cases: Record<string, Pattern>, default: string })[]} Pattern */

/** @type {Record<string, Pattern>} */
const TEXTS = JSON.parse(document.getElementById('texts')?.textContent ?? '{}');

export const LANGUAGE = document.documentElement.lang;

const plurals = new Intl.PluralRules(LANGUAGE);
const numbers = new Intl.NumberFormat(LANGUAGE);

/**
 * The text of that id. Texts that are put into it are kept from turning it around (Unicode's isolates).
 * @param {string} id
 * @param {Record<string, string | number>} [args]
 * @returns {string}
 */
export function text(id, args = {}) {
  return id in TEXTS ? formatted(TEXTS[id], args) : id;
}

/**
 * @param {Pattern} pattern
 * @param {Record<string, string | number>} args
 * @returns {string}
 */
function formatted(pattern, args) {
  if (typeof pattern === 'string') return pattern;
  return pattern.map((piece) => {
    if (typeof piece === 'string') return piece;
    if ('var' in piece) return shown(args[piece.var]);
    const value = args[piece.select];
    const category = typeof value === 'number' ? plurals.select(value) : '';
    return formatted(piece.cases[value] ?? piece.cases[category] ?? piece.cases[piece.default], args);
  }).join('');
}

/** @param {string | number | undefined} value */
const shown = (value) => (typeof value === 'number' ? numbers.format(value) : `\u2068${plain(value ?? '')}\u2069`);

/** A name or title without the characters that would turn around what stands beside it. @param {string} name */
export const plain = (name) => name.replace(/[\u202a-\u202e\u2066-\u2069\u200e\u200f\u061c]/g, '');

/** Letters that are written from right to left. */
const LEFTWARD = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u;

/**
 * The direction of a text, as its first letter is written; an empty string for a text without letters. An element
 * with this `dir` cuts a long text at its end, and not at its beginning.
 * @param {string} words
 */
export function directionOf(words) {
  const letter = words.match(/\p{L}/u)?.[0];
  if (letter === undefined) return '';
  return LEFTWARD.test(letter) ? 'rtl' : 'ltr';
}

/** A username as it is written, also among letters that go from right to left. @param {string} username */
export const handle = (username) => `\u2066@${username}\u2069`;

/** @param {number} value */
export const number = (value) => numbers.format(value);

const clock = new Intl.DateTimeFormat(LANGUAGE, { hour: 'numeric', minute: '2-digit' });
const weekday = new Intl.DateTimeFormat(LANGUAGE, { weekday: 'long' });
const day = new Intl.DateTimeFormat(LANGUAGE, { weekday: 'long', day: 'numeric', month: 'long' });
const date = new Intl.DateTimeFormat(LANGUAGE, { day: 'numeric', month: 'long', year: 'numeric' });
const short = new Intl.DateTimeFormat(LANGUAGE, { day: 'numeric', month: 'short' });
const full = new Intl.DateTimeFormat(LANGUAGE, { dateStyle: 'full', timeStyle: 'medium' });
const relative = new Intl.RelativeTimeFormat(LANGUAGE, { numeric: 'auto' });

/** Days from that time to today, by the calendar here. @param {Date} at */
function daysAgo(at) {
  const midnight = (/** @type {Date} */ moment) => new Date(moment).setHours(0, 0, 0, 0);
  return Math.round((midnight(new Date()) - midnight(at)) / 86_400_000);
}

/** @param {Date} at */
export const timeOf = (at) => clock.format(at);

/** @param {Date} at */
export const fullTime = (at) => full.format(at);

/** The day as a heading: today, yesterday, Monday, 3 May 2026. @param {Date} at */
export function dayOf(at) {
  const ago = daysAgo(at);
  if (ago < 2) return capital(relative.format(-ago, 'day'));
  return ago < 200 ? day.format(at) : date.format(at);
}

/** As short as can be: the time today, else the day. @param {Date} at */
export function shortTime(at) {
  const ago = daysAgo(at);
  if (ago < 1) return clock.format(at);
  if (ago === 1) return capital(relative.format(-1, 'day'));
  return ago < 7 ? weekday.format(at) : short.format(at);
}

/** How long ago or ahead. @param {Date} at */
export function fromNow(at) {
  const seconds = (at.getTime() - Date.now()) / 1000;
  for (const [unit, length] of /** @type {[Intl.RelativeTimeFormatUnit, number][]} */ ([['day', 86_400], ['hour', 3600], ['minute', 60]])) {
    if (Math.abs(seconds) >= length) return relative.format(Math.round(seconds / length), unit);
  }
  return relative.format(0, 'second');
}

/** @param {string} words */
const capital = (words) => words.charAt(0).toLocaleUpperCase(LANGUAGE) + words.slice(1);

const FAULTS = /** @type {Record<string, string>} */ ({
  offline: 'fault-offline', unavailable: 'fault-unavailable', internal: 'fault-unavailable', not_member: 'fault-not-member',
  not_found: 'fault-not-found', banned: 'fault-banned', forbidden: 'fault-forbidden', gone: 'fault-gone',
});

/** What went wrong, in the words of this language where there are some. @param {any} error */
export function fault(error) {
  const seconds = Math.ceil((error?.retryAfter ?? 0) / 1000);
  if (error?.code === 'rate_limited') return text('fault-rate', { seconds });
  if (error?.code in FAULTS) return text(FAULTS[error.code]);
  return error?.message ?? String(error);
}
