// @ts-check
/** The texts of errors, in the language of the page. */

import { text } from './texts.js';

/** The ids of the texts of error codes. */
const CODES = /** @type {Record<string, string>} */ ({
  offline: 'error-offline', unavailable: 'error-unavailable', internal: 'error-internal', closed: 'error-closed',
  unauthorized: 'signed-out-expired', token_expired: 'signed-out-expired', not_member: 'error-not-member',
  not_found: 'error-not-found', banned: 'error-banned', forbidden: 'error-forbidden', gone: 'error-gone',
  conflict: 'error-conflict', limit_exceeded: 'error-limit', too_large: 'error-too-long', invalid: 'error-invalid',
});

/** The rules that a value can break. The server has no codes for them: its text tells which rule it is. */
const RULES = /** @type {[string, RegExp][]} */ ([
  ['short', /at least (\d+) characters/],
  ['long', /(?:no more than|at most) (\d+) characters/],
  ['common', /too common/],
  ['letter', /at least one letter/],
  ['characters', /letters, digits|controls? /i],
  ['blank', /blank|visible/],
]);

const NAME = { blank: 'error-name-blank', long: 'error-name-long', characters: 'error-name-characters', other: 'error-name' };
const PASSWORD = { short: 'error-password-short', long: 'error-password-long', common: 'error-password-common', other: 'error-password' };

/** The ids of the texts of each field, by rule. `other` is for all other rules. */
const FIELDS = /** @type {Record<string, Record<string, string>>} */ ({
  name: NAME,
  title: NAME,
  username: {
    blank: 'error-username-blank', long: 'error-username-long', characters: 'error-username-characters',
    letter: 'error-username-letter', other: 'error-username',
  },
  password: PASSWORD,
  new: { ...PASSWORD, common: 'error-password-new-common' },
  old: { other: 'error-password-old' },
  text: { blank: 'error-message-blank', long: 'error-message-long', other: 'error-invalid' },
  reply_to: { other: 'error-reply' },
  emoji: { other: 'error-emoji' },
});

/**
 * Returns the text of an error. Several invalid fields have one line each.
 * @param {any} error
 * @param {Record<string, string>} [ids] the ids of other texts for some error codes
 */
export function errorText(error, ids = {}) {
  const { code = '', field, message = '', errors = {}, retryAfter = 0 } = error ?? {};
  if (code in ids) return text(ids[code]);
  if (code === 'rate_limited') return text('error-rate-limited', { seconds: Math.ceil(retryAfter / 1000) });
  /** @type {[string, string[]][]} */
  const invalid = Object.keys(errors).length ? Object.entries(errors) : [[field, [message]]];
  const lines = invalid.flatMap(([name, [words]]) => (name in FIELDS ? fieldText(FIELDS[name], words) : []));
  if (lines.length) return lines.join('\n');
  return code in CODES ? text(CODES[code]) : text('error-unknown', { code: code || error?.name || '' });
}

/**
 * Returns the text of an invalid field.
 * @param {Record<string, string>} ids
 * @param {string} words the text of the server
 */
function fieldText(ids, words) {
  for (const [rule, pattern] of RULES) {
    const match = rule in ids ? pattern.exec(words) : null;
    if (match) return text(ids[rule], { count: Number(match[1]) });
  }
  return text(ids.other);
}
