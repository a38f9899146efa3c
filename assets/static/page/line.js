// @ts-check
/** The elements of messages and notes. */

import { avatar, button, clone, make, part } from './dom.js';
import { errorText } from './errors.js';
import { eventNotes } from './extensions.js';
import { inline, isEmoji, prose } from './prose.js';
import { dayOf, fullTime, number, plain, text, timeOf } from './texts.js';

/**
 * @typedef {import('../timeline.js').Line} Line
 * @typedef {import('../timeline.js').Note} Note
 * @typedef {import('../salam.js').Pending} Pending
 *
 * @typedef {object} LineContext The user, and the functions that a line needs.
 * @property {string} me the username of the user
 * @property {(username: string | null) => string} nameOf
 * @property {(username: string | null) => boolean} isInactive whether the account is inactive
 * @property {(seq: number) => Line | null | undefined} quoted
 * @property {(line: Line, emoji: string) => void} react
 * @property {(seq: number) => void} go scrolls to a line
 */

/** The maximum of names in the title of a reaction. */
const MAX_NAMES = 10;

const STATES = { waiting: 'waiting', sending: 'sending', stored: 'sent', failed: 'failed' };
const LEFT = /** @type {Record<string, string>} */ ({ left: 'note-left', kicked: 'note-removed', banned: 'note-banned' });
const ROLE = /** @type {Record<string, string>} */ ({ owner: 'note-owner', admin: 'note-admin', member: 'note-member' });

/**
 * Returns the element of a message.
 * @param {Line} line
 * @param {boolean} follows whether the line before is by the same author, shortly before
 * @param {LineContext} context
 * @param {import('./dom.js').Part} [element] the existing element
 */
export function lineView(line, follows, context, element = clone('line')) {
  const { seq, by, at } = line;
  const name = context.nameOf(by);
  element.id = `m${seq}`;
  element.dataset.seq = String(seq);
  element.classList.toggle('mine', by === context.me);
  element.classList.toggle('follows', follows);
  element.classList.toggle('deleted', line.text === null);
  avatar(part(element, 'avatar'), by ?? '', name);
  part(element, 'by').textContent = name;
  part(element, 'by').title = by ? `@${by}` : '';
  part(element, 'inactive').hidden = !context.isInactive(by);
  part(element, 'edited').hidden = !line.edited || line.text === null;
  showText(part(element, 'text'), line.text);
  const time = part(element, 'time');
  time.textContent = timeOf(new Date(at));
  time.dateTime = at;
  time.title = fullTime(new Date(at));
  showQuote(element, line.text === null ? null : line.replyTo, context);
  showReactions(part(element, 'reactions'), line, context);
  return element;
}

/**
 * Shows the text of a message.
 * @param {import('./dom.js').Part} element
 * @param {string | null} words null for a deleted message
 */
function showText(element, words) {
  if (element.dataset.words === (words ?? '\0')) return; // an unchanged text keeps its selection
  element.dataset.words = words ?? '\0';
  element.classList.toggle('large', words !== null && isEmoji(words));
  element.replaceChildren(...(words === null ? [text('deleted')] : prose(words)));
}

/**
 * Shows the quoted message of a reply.
 * @param {import('./dom.js').Part} element
 * @param {number | null} replyTo
 * @param {LineContext} context
 */
function showQuote(element, replyTo, context) {
  const container = part(element, 'quote');
  container.hidden = replyTo === null;
  if (replyTo === null) return;
  const line = context.quoted(replyTo);
  const words = line?.text ?? (line === undefined ? '…' : text('deleted'));
  const by = make('b', {}, make('bdi', {}, line ? context.nameOf(line.by) : ''));
  container.replaceChildren(make('span', { className: 'unseen' }, text('in-reply')), by, make('span', { dir: 'auto' }, inline(words)));
  container.onclick = () => context.go(replyTo);
}

/**
 * Shows the reactions of a message.
 * @param {import('./dom.js').Part} container
 * @param {Line} line
 * @param {LineContext} context
 */
function showReactions(container, line, context) {
  container.hidden = line.reactions.size === 0;
  const focused = container.contains(document.activeElement) ? document.activeElement?.textContent : null;
  container.replaceChildren(...[...line.reactions].map(([emoji, { count, mine, by }]) => {
    const chip = button('', () => context.react(line, emoji), 'chip');
    chip.append(make('span', { className: 'glyph' }, emoji), ` ${number(count)}`);
    const names = [...by].slice(0, MAX_NAMES).map((username) => context.nameOf(username));
    chip.ariaPressed = String(mine);
    chip.title = text('reacted', { emoji, names: names.join(text('list-comma')), more: Math.max(0, count - names.length) });
    chip.tabIndex = container.closest('li')?.tabIndex ?? -1;
    return chip;
  }));
  if (focused) /** @type {HTMLElement | null} */ (container.firstElementChild ?? container.closest('li'))?.focus();
}

/**
 * Returns the element of a message that is not in the log yet.
 * @param {Pending} message
 * @param {LineContext} context
 * @param {{ retry: () => void, discard: () => void }} actions
 * @param {import('./dom.js').Part} [element]
 */
export function pendingView(message, context, actions, element = clone('line')) {
  element.classList.add('mine', 'pending', 'follows');
  element.dataset.cid = message.cid;
  element.dataset.state = message.state;
  avatar(part(element, 'avatar'), context.me, context.nameOf(context.me));
  part(element, 'by').textContent = context.nameOf(context.me);
  showText(part(element, 'text'), message.text);
  showQuote(element, message.replyTo, context);
  const time = part(element, 'time');
  time.textContent = timeOf(new Date(message.at));
  time.dateTime = new Date(message.at).toISOString();
  const failed = message.state === 'failed';
  part(element, 'state').textContent = failed ? text('failed', { why: errorText(message.error) }) : text(STATES[message.state]);
  part(element, 'remedy').hidden = !(failed || message.state === 'waiting');
  part(element, 'resend').hidden = !failed;
  part(element, 'resend').onclick = actions.retry;
  part(element, 'discard').onclick = actions.discard;
  return element;
}

/**
 * Returns the element of a note.
 * @param {Note} note
 * @param {(username: string | null) => string} nameOf
 */
export function noteView(note, nameOf) {
  return make('li', { className: 'note muted', id: `m${note.seq}`, title: fullTime(new Date(note.at)) }, noteText(note, nameOf));
}

/**
 * Returns the text of a note.
 * @param {{ kind: string, by: string | null, data: any }} note
 * @param {(username: string | null) => string} nameOf
 */
export function noteText({ kind, by, data }, nameOf) {
  const extension = eventNotes.get(kind);
  if (extension) {
    try {
      return plain(String(extension({ kind, by, data }, nameOf(by)) ?? kind));
    } catch (error) {
      console.warn(`The text of the note ${kind} failed.`, error);
      return kind;
    }
  }
  const [name, actor] = [plain(data.name ?? nameOf(data.user ?? by)), nameOf(by)];
  if (kind === 'member.joined') return text('note-joined', { name });
  if (kind === 'member.left') return text(LEFT[data.reason] ?? 'note-left', { name, actor });
  if (kind === 'member.role') return text(ROLE[data.role] ?? 'note-member', { name, actor });
  return data.title === null ? text('note-unnamed', { actor }) : text('note-renamed', { actor, title: data.title });
}

/** Returns the heading of a day. @param {string} at */
export const dayView = (at) => make('li', { className: 'day' }, make('span', {}, dayOf(new Date(at))));

/** Returns the heading above the unread messages. */
export const newView = () => make('li', { className: 'new', id: 'new' }, make('span', {}, text('new-messages')));
