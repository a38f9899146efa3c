// @ts-check
/** The view of one open chat: heading, messages, and the form for new messages. */

import { announce, avatar, clone, on, part } from './dom.js';
import { Composer } from './composer.js';
import { eventNotes } from './extensions.js';
import { noteText } from './line.js';
import { Lines } from './lines.js';
import { People } from './people.js';
import { inline } from './prose.js';
import { directionOf, handle, plain, text } from './texts.js';

/**
 * @typedef {import('../salam.js').Salam} Salam
 * @typedef {import('../salam.js').Chat} Chat
 */

/** The maximum of names in the heading. */
const MAX_NAMES = 4;

/** The view of one open chat. */
export class Conversation {
  #salam;
  #chat;
  #titleOf;
  #memberCount;
  #lines;
  #composer;
  #people;
  /** @type {Map<string, string>} */
  #names = new Map();
  #hasNames = false;
  /** @type {(() => void)[]} */
  #unlisten = [];

  /**
   * @param {Salam} salam
   * @param {Chat} chat
   * @param {() => string} titleOf returns the title of the chat
   * @param {() => number} memberCount returns the number of members
   */
  constructor(salam, chat, titleOf, memberCount) {
    this.#salam = salam;
    this.#chat = chat;
    this.#titleOf = titleOf;
    this.#memberCount = memberCount;
    /** The reason why the user is no longer a member: `left`, `kicked` or `banned`; empty before. */
    this.leftBy = '';
    this.view = clone('conversation');
    const nameOf = (/** @type {string | null} */ username) => this.#nameOf(username);
    this.#lines = new Lines(salam, chat, this.view, {
      nameOf, reply: (line) => this.#composer.reply(line), edit: (line) => this.#composer.edit(line),
      leave: () => this.#composer.focus(), moved: () => this.#moved(),
    });
    this.#people = new People(salam, chat, titleOf);
    this.#composer = new Composer(chat, this.view, {
      key: `salam.draft.${salam.user?.id}.${chat.group}`, nameOf,
      lastOwn: () => this.#lines.lastOwn(), sent: () => this.#lines.toEnd(),
    });
    this.#listen();
    this.#showHeading();
  }

  get #me() { return this.#salam.user?.username ?? ''; }

  /** Is called when the view is shown. */
  shown() {
    this.#composer.shown();
    this.#loadNames();
    this.#lines.load();
  }

  /** Removes the listeners, and closes the parts. */
  close() {
    this.#unlisten.forEach((end) => end());
    this.#lines.close();
    this.#people.close();
    this.#chat.typing(false);
  }

  /** Loads the names of the members. The event of joining contains the name of a later member. */
  async #loadNames() {
    const members = await this.#salam.members(this.#chat.group, { limit: 500 }).catch(() => null);
    this.#hasNames = members !== null;
    for (const { username, name } of members?.results ?? []) this.#names.set(username, plain(name));
    this.#lines.show('all');
    this.#showHeading();
  }

  #listen() {
    const chat = this.#chat;
    const onFocusChange = () => { if (this.#isSeen) this.#moved(); else this.#lines.unseen(); };
    on(document, 'visibilitychange', onFocusChange);
    for (const type of ['focus', 'blur']) on(window, type, onFocusChange);
    this.#unlisten.push(
      () => {
        document.removeEventListener('visibilitychange', onFocusChange);
        for (const type of ['focus', 'blur']) window.removeEventListener(type, onFocusChange);
      },
      chat.on('event', (event) => this.#onEvent(event)),
      chat.on('change', () => this.#showHeading()),
      chat.on('presence', () => this.#showHeading()),
      chat.on('typing', (typists) => this.#showTyping(typists)),
      chat.on('live', () => { this.#moved(); if (!this.#hasNames) this.#loadNames(); }),
    );
    on(part(this.view, 'newer'), 'click', () => this.#lines.toEnd());
    on(part(this.view, 'people'), 'click', () => this.#people.open());
  }

  get #isSeen() { return document.visibilityState === 'visible' && document.hasFocus() && this.view.isConnected; }

  /** Handles the effects of an event outside of its line: names, announcements. @param {import('../salam.js').ChatEvent} event */
  #onEvent(event) {
    const { kind, by, data } = event;
    if (kind === 'member.joined') this.#names.set(data.user, plain(data.name));
    if (kind === 'member.left' && data.user === this.#me) this.leftBy = data.reason;
    if (kind.startsWith('member.')) this.#showHeading();
    if (kind === 'message.deleted') this.#composer.gone(data.seq);
    if (!this.#chat.isLive || by === this.#me) return;
    if (kind === 'message.created') announce(text('preview', { name: this.#nameOf(by), text: inline(data.text ?? '') }));
    else if (kind.startsWith('member.') || eventNotes.has(kind)) announce(noteText(event, (username) => this.#nameOf(username)));
  }

  /** Returns the name of a member. Names are not unique: a shared name gets the username added. @param {string | null} username */
  #nameOf(username) {
    if (username === null) return text('system');
    const name = this.#names.get(username) ?? plain(username);
    const isShared = [...this.#names].some(([other, its]) => its === name && other !== username);
    return isShared ? `${name} (${handle(username)})` : name;
  }

  #showHeading() {
    const title = this.#titleOf();
    part(this.view, 'title').textContent = title;
    part(this.view, 'title').dir = directionOf(title);
    avatar(part(this.view, 'avatar'), this.#chat.group, title);
    const presence = part(this.view, 'presence');
    presence.textContent = text('presence', { members: this.#memberCount(), online: this.#chat.onlineCount });
    presence.title = this.#onlineNames();
    this.#moved();
  }

  /** Returns the names of the other members that are online; an empty text without any, and in a large group. */
  #onlineNames() {
    const others = [...this.#chat.online ?? []].filter((username) => username !== this.#me).map((username) => this.#nameOf(username));
    if (others.length === 0) return '';
    return text('online', { names: others.slice(0, MAX_NAMES).join(text('list-comma')), more: Math.max(0, others.length - MAX_NAMES) });
  }

  /** Shows who types. @param {string[]} typists */
  #showTyping(typists) {
    const [first = '', second = ''] = typists.map((username) => this.#nameOf(username));
    part(this.view, 'typing').textContent = typists.length === 0 ? '' : typists.length === 1 ? text('typing-one', { name: first })
      : typists.length === 2 ? text('typing-two', { first, second }) : text('typing-many', { count: typists.length });
  }

  /** Marks the last message as read if the user sees the end. Updates the button for newer messages. */
  #moved() {
    const { last, unread } = this.#chat;
    if (this.#lines.isAtEnd && this.#isSeen && last) this.#chat.read(last);
    const newer = part(this.view, 'newer');
    newer.hidden = this.#lines.isAtEnd || !this.view.isConnected;
    newer.textContent = unread ? text('newer', { count: unread }) : text('jump-to-latest');
  }
}
