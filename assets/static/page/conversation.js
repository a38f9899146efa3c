// @ts-check
/** One chat that is looked at: who is here, what is said, and where one writes. */

import { announce, avatar, clone, on, part } from './dom.js';
import { Composer } from './composer.js';
import { noteText } from './line.js';
import { Lines } from './lines.js';
import { People } from './people.js';
import { inline } from './prose.js';
import { directionOf, handle, plain, text } from './texts.js';

/**
 * @typedef {import('../salam.js').Salam} Salam
 * @typedef {import('../salam.js').Chat} Chat
 */

/** Names in the heading at most. */
const NAMES = 4;

export class Conversation {
  #salam;
  #chat;
  #titleOf;
  #lines;
  #composer;
  #people;
  /** @type {Map<string, string>} */
  #names = new Map();
  #hasNames = false;
  /** @type {(() => void)[]} */
  #ends = [];

  /**
   * @param {Salam} salam
   * @param {Chat} chat
   * @param {() => string} titleOf what the chat is called
   */
  constructor(salam, chat, titleOf) {
    this.#salam = salam;
    this.#chat = chat;
    this.#titleOf = titleOf;
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
    this.#heading();
  }

  get #me() { return this.#salam.user?.username ?? ''; }

  /** Is called when the view is shown. */
  shown() {
    this.#composer.shown();
    this.#learnNames();
    this.#lines.load();
  }

  close() {
    this.#ends.forEach((end) => end());
    this.#lines.close();
    this.#people.close();
    this.#chat.typing(false);
  }

  /** What members call themselves; who comes later says so. */
  async #learnNames() {
    const members = await this.#salam.members(this.#chat.group, { limit: 500 }).catch(() => null);
    this.#hasNames = members !== null;
    for (const { username, name } of members?.results ?? []) this.#names.set(username, plain(name));
    this.#lines.show('all');
    this.#heading();
  }

  #listen() {
    const chat = this.#chat;
    const looks = () => { if (this.#isSeen) this.#moved(); else this.#lines.unseen(); };
    on(document, 'visibilitychange', looks);
    for (const type of ['focus', 'blur']) on(window, type, looks);
    this.#ends.push(
      () => {
        document.removeEventListener('visibilitychange', looks);
        for (const type of ['focus', 'blur']) window.removeEventListener(type, looks);
      },
      chat.on('event', (event) => this.#happened(event)),
      chat.on('change', () => this.#heading()),
      chat.on('presence', () => this.#heading()),
      chat.on('typing', (who) => this.#showTyping(who)),
      chat.on('live', () => { this.#moved(); if (!this.#hasNames) this.#learnNames(); }),
    );
    on(part(this.view, 'newer'), 'click', () => this.#lines.toEnd());
    on(part(this.view, 'people'), 'click', () => this.#people.open());
  }

  get #isSeen() { return document.visibilityState === 'visible' && document.hasFocus() && this.view.isConnected; }

  /** What an event means beyond the line that it makes or changes. @param {import('../salam.js').ChatEvent} event */
  #happened(event) {
    const { kind, by, data } = event;
    if (kind === 'member.joined') this.#names.set(data.user, plain(data.name));
    if (kind === 'message.deleted') this.#composer.gone(data.seq);
    if (!this.#chat.isLive || by === this.#me) return;
    if (kind === 'message.created') announce(text('they-said', { name: this.#nameOf(by), text: inline(data.text ?? '') }));
    else if (kind.startsWith('member.')) announce(noteText(event, (username) => this.#nameOf(username)));
  }

  /** Names are free: where two people have one, they are told apart. @param {string | null} username */
  #nameOf(username) {
    if (username === null) return text('nobody');
    const name = this.#names.get(username) ?? plain(username);
    const isShared = [...this.#names].some(([other, its]) => its === name && other !== username);
    return isShared ? `${name} (${handle(username)})` : name;
  }

  #heading() {
    const title = this.#titleOf();
    part(this.view, 'title').textContent = title;
    part(this.view, 'title').dir = directionOf(title);
    avatar(part(this.view, 'avatar'), this.#chat.group, title);
    part(this.view, 'presence').textContent = this.#presence();
    this.#moved();
  }

  #presence() {
    const { online, onlineCount } = this.#chat;
    if (!online) return text('here-count', { count: onlineCount });
    const others = [...online].filter((username) => username !== this.#me).map((username) => this.#nameOf(username));
    if (others.length === 0) return text('here-nobody');
    return text('here', { names: others.slice(0, NAMES).join(text('list-comma')), more: Math.max(0, others.length - NAMES) });
  }

  /** @param {string[]} who */
  #showTyping(who) {
    const [first = '', second = ''] = who.map((username) => this.#nameOf(username));
    part(this.view, 'typing').textContent = who.length === 0 ? '' : who.length === 1 ? text('typing-one', { name: first })
      : who.length === 2 ? text('typing-two', { first, second }) : text('typing-many', { count: who.length });
  }

  /** What is at the end of a page that is looked at is read. */
  #moved() {
    const { last, unread } = this.#chat;
    if (this.#lines.isAtEnd && this.#isSeen && last) this.#chat.read(last);
    const newer = part(this.view, 'newer');
    newer.hidden = this.#lines.isAtEnd || !this.view.isConnected;
    newer.textContent = unread ? text('newer', { count: unread }) : text('to-end');
  }
}
