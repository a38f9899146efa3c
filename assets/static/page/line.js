// @ts-check
/** One message, and one note. */

import { avatar, button, clone, make, part } from './dom.js';
import { inline, isEmoji, prose } from './prose.js';
import { dayOf, fault, fullTime, number, plain, text, timeOf } from './texts.js';

/**
 * @typedef {import('../timeline.js').Line} Line
 * @typedef {import('../timeline.js').Note} Note
 * @typedef {import('../salam.js').Pending} Pending
 *
 * @typedef {object} Eyes Who looks, and what they know.
 * @property {string} me
 * @property {(username: string | null) => string} nameOf
 * @property {(username: string | null) => boolean} isInactive whether the account is inactive
 * @property {(seq: number) => Line | null | undefined} quoted
 * @property {(line: Line, emoji: string) => void} react
 * @property {(seq: number) => void} go to that line
 */

/** Names of members in the title of a reaction, at most. */
const NAMES = 10;

const STATES = { waiting: 'waiting', sending: 'sending', stored: 'stored', failed: 'failed' };
const LEFT = /** @type {Record<string, string>} */ ({ left: 'note-left', kicked: 'note-kicked', banned: 'note-banned' });
const ROLE = /** @type {Record<string, string>} */ ({ owner: 'note-owner', admin: 'note-admin', member: 'note-member' });

/**
 * @param {Line} line
 * @param {boolean} follows whether it goes on with what the same person said just before
 * @param {Eyes} eyes
 * @param {import('./dom.js').Part} [element] one that is there already
 */
export function lineView(line, follows, eyes, element = clone('line')) {
  const { seq, by, at } = line;
  const name = eyes.nameOf(by);
  element.id = `m${seq}`;
  element.dataset.seq = String(seq);
  element.classList.toggle('mine', by === eyes.me);
  element.classList.toggle('follows', follows);
  element.classList.toggle('deleted', line.text === null);
  avatar(part(element, 'avatar'), by ?? '', name);
  part(element, 'by').textContent = name;
  part(element, 'by').title = by ? `@${by}` : '';
  part(element, 'inactive').hidden = !eyes.isInactive(by);
  part(element, 'edited').hidden = !line.edited || line.text === null;
  said(part(element, 'text'), line.text);
  const time = part(element, 'time');
  time.textContent = timeOf(new Date(at));
  time.dateTime = at;
  time.title = fullTime(new Date(at));
  quote(element, line.text === null ? null : line.replyTo, eyes);
  reactions(part(element, 'reactions'), line, eyes);
  return element;
}

/**
 * @param {import('./dom.js').Part} element
 * @param {string | null} words
 */
function said(element, words) {
  if (element.dataset.words === (words ?? '\0')) return; // a selection in it stays
  element.dataset.words = words ?? '\0';
  element.classList.toggle('large', words !== null && isEmoji(words));
  element.replaceChildren(...(words === null ? [text('deleted')] : prose(words)));
}

/**
 * @param {import('./dom.js').Part} element
 * @param {number | null} replyTo
 * @param {Eyes} eyes
 */
function quote(element, replyTo, eyes) {
  const place = part(element, 'quote');
  place.hidden = replyTo === null;
  if (replyTo === null) return;
  const line = eyes.quoted(replyTo);
  const words = line?.text ?? (line === undefined ? '…' : text('deleted'));
  const by = make('b', {}, make('bdi', {}, line ? eyes.nameOf(line.by) : ''));
  place.replaceChildren(make('span', { className: 'unseen' }, text('in-reply')), by, make('span', { dir: 'auto' }, inline(words)));
  place.onclick = () => eyes.go(replyTo);
}

/**
 * @param {import('./dom.js').Part} place
 * @param {Line} line
 * @param {Eyes} eyes
 */
function reactions(place, line, eyes) {
  place.hidden = line.reactions.size === 0;
  const focused = place.contains(document.activeElement) ? document.activeElement?.textContent : null;
  place.replaceChildren(...[...line.reactions].map(([emoji, { count, mine, by }]) => {
    const chip = button('', () => eyes.react(line, emoji), 'chip');
    chip.append(make('span', { className: 'glyph' }, emoji), ` ${number(count)}`);
    const names = [...by].slice(0, NAMES).map((username) => eyes.nameOf(username));
    chip.ariaPressed = String(mine);
    chip.title = text('reacted', { emoji, names: names.join(text('list-comma')), more: Math.max(0, count - names.length) });
    chip.tabIndex = place.closest('li')?.tabIndex ?? -1;
    return chip;
  }));
  if (focused) /** @type {HTMLElement | null} */ (place.firstElementChild ?? place.closest('li'))?.focus();
}

/**
 * A message that is not in the log yet.
 * @param {Pending} message
 * @param {Eyes} eyes
 * @param {{ retry: () => void, discard: () => void }} remedies
 * @param {import('./dom.js').Part} [element]
 */
export function pendingView(message, eyes, remedies, element = clone('line')) {
  element.classList.add('mine', 'pending', 'follows');
  element.dataset.cid = message.cid;
  element.dataset.state = message.state;
  avatar(part(element, 'avatar'), eyes.me, eyes.nameOf(eyes.me));
  part(element, 'by').textContent = eyes.nameOf(eyes.me);
  said(part(element, 'text'), message.text);
  quote(element, message.replyTo, eyes);
  const time = part(element, 'time');
  time.textContent = timeOf(new Date(message.at));
  time.dateTime = new Date(message.at).toISOString();
  const failed = message.state === 'failed';
  part(element, 'state').textContent = failed ? text('failed', { why: fault(message.error) }) : text(STATES[message.state]);
  part(element, 'remedy').hidden = !(failed || message.state === 'waiting');
  part(element, 'resend').hidden = !failed;
  part(element, 'resend').onclick = remedies.retry;
  part(element, 'discard').onclick = remedies.discard;
  return element;
}

/**
 * @param {Note} note
 * @param {(username: string | null) => string} nameOf
 */
export function noteView(note, nameOf) {
  return make('li', { className: 'note muted', id: `m${note.seq}`, title: fullTime(new Date(note.at)) }, noteText(note, nameOf));
}

/**
 * @param {{ kind: string, by: string | null, data: any }} note
 * @param {(username: string | null) => string} nameOf
 */
export function noteText({ kind, by, data }, nameOf) {
  const [name, actor] = [plain(data.name ?? nameOf(data.user ?? by)), nameOf(by)];
  if (kind === 'member.joined') return text('note-joined', { name });
  if (kind === 'member.left') return text(LEFT[data.reason] ?? 'note-left', { name, actor });
  if (kind === 'member.role') return text(ROLE[data.role] ?? 'note-member', { name, actor });
  return data.title === null ? text('note-untitled', { actor }) : text('note-titled', { actor, title: data.title });
}

/** @param {string} at */
export const dayView = (at) => make('li', { className: 'day' }, make('span', {}, dayOf(new Date(at))));

/** The line above what has not been read. */
export const newView = () => make('li', { className: 'new', id: 'new' }, make('span', {}, text('new-messages')));
