// @ts-check
/**
 * The text of a message as nodes: links, and code in backticks. Everything else is plain text. The text is never
 * parsed as markup.
 */

import { make } from './dom.js';

const FENCE = /```(?:[a-z0-9+-]*\n)?([\s\S]+?)```/g;
const CODE = /`([^\x60\n]+)`/g;
/** A URL ends before the punctuation at the end of its sentence. */
const LINK = /\bhttps?:\/\/[^\s<>"'`\u2066-\u2069\u202a-\u202e]+[^\s<>"'`.,;:!?)\]}\u2066-\u2069\u202a-\u202e،؛؟]/gi;

/** @typedef {{ pattern: RegExp, node: (match: RegExpMatchArray) => Node | null }} Rule */

/** @type {Rule[]} */
const RULES = [
  { pattern: FENCE, node: ([, code]) => make('pre', { dir: 'ltr', tabIndex: -1 }, make('code', {}, code.replace(/\n$/, ''))) },
  { pattern: CODE, node: ([, code]) => make('code', { dir: 'ltr' }, code) },
  { pattern: LINK, node: ([address]) => link(address) },
];

/**
 * Returns a text as nodes.
 * @param {string} text
 * @param {Rule[]} [rules]
 * @returns {(Node | string)[]}
 */
export function prose(text, [rule, ...rest] = RULES) {
  if (!rule) return [text];
  const nodes = [];
  let end = 0;
  for (const match of text.matchAll(rule.pattern)) {
    const node = rule.node(match);
    if (!node) continue;
    nodes.push(...prose(text.slice(end, match.index), rest), node);
    end = match.index + match[0].length;
  }
  return [...nodes, ...(end < text.length ? prose(text.slice(end), rest) : [])];
}

/** Returns a link whose text is its URL; null for anything else than `http` and `https`. @param {string} address */
function link(address) {
  const url = URL.canParse(address) ? new URL(address) : null;
  if (!url || !['http:', 'https:'].includes(url.protocol)) return null;
  const isOwn = url.origin === location.origin;
  return make('a', { href: url.href, dir: 'ltr', ...(isOwn ? {} : { target: '_blank', rel: 'noopener noreferrer nofollow' }) }, address);
}

/** Returns true for a text of one to three emoji only. @param {string} text */
export const isEmoji = (text) => /^(?:\p{RGI_Emoji}\s*){1,3}$/v.test(text.trim());

/** Returns a text as one short line. @param {string} text */
export const inline = (text) => text.replace(/\s+/g, ' ').trim().slice(0, 200);
