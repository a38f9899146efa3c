// @ts-check
/** The buttons for the actions on a message. They are shown at the line under the mouse, or with the focus. */

import { ask, clone, on, part, toast } from './dom.js';
import { chooseEmoji } from './emoji.js';
import { errorText } from './errors.js';
import { inline } from './prose.js';
import { text } from './texts.js';

/**
 * @typedef {import('../salam.js').Chat} Chat
 * @typedef {import('../timeline.js').Line} Line
 */

/** The buttons for the lines of one chat. */
export class Tools {
  #chat;
  #me;
  #element = clone('tools');
  #find;
  #seq = 0;
  /** The wanted states of reactions that are not shown yet, by message and emoji. @type {Map<string, boolean>} */
  #wanted = new Map();

  /**
   * @param {Chat} chat
   * @param {string} me
   * @param {(seq: number) => Line | undefined} find returns the current state of a line
   * @param {{ reply: (line: Line) => void, edit: (line: Line) => void }} composer
   */
  constructor(chat, me, find, composer) {
    this.#chat = chat;
    this.#me = me;
    this.#find = find;
    const bind = (/** @type {string} */ name, /** @type {(line: Line) => void} */ act) => {
      on(part(this.#element, name), 'click', () => {
        const line = this.#find(this.#seq);
        if (line) act(line);
      });
    };
    bind('react', (line) => chooseEmoji((emoji) => this.react(line, emoji)));
    bind('reply', (line) => composer.reply(line));
    bind('edit', (line) => composer.edit(line));
    bind('delete', (line) => this.#delete(line));
  }

  /**
   * Shows the buttons at a line.
   * @param {HTMLElement} element
   * @param {Line | undefined} line undefined if there are no actions
   */
  put(element, line) {
    const isThere = this.#element.parentNode === part(element, 'bubble');
    if (!line || line.text === null) {
      if (isThere || !this.#element.contains(document.activeElement)) this.#element.remove();
      return;
    }
    // The buttons do not move while one of them has the focus.
    if (isThere || this.#element.contains(document.activeElement)) return;
    this.#seq = line.seq;
    const isMine = line.by === this.#me;
    part(this.#element, 'edit').hidden = !isMine;
    part(this.#element, 'delete').hidden = !isMine && this.#chat.role === 'member';
    part(element, 'bubble').append(this.#element);
  }

  /** Removes the buttons from a deleted line, and keeps the focus at the line. */
  refresh() {
    const element = this.#element.closest('li');
    if (!element || this.#find(this.#seq)?.text !== null) return;
    if (this.#element.contains(document.activeElement)) element.focus();
    this.#element.remove();
  }

  /**
   * Toggles a reaction: from the last wanted state, which may not be shown yet.
   * @param {Line} line
   * @param {string} emoji
   */
  async react({ seq }, emoji) {
    const key = `${seq} ${emoji}`;
    const isMine = () => this.#find(seq)?.reactions.get(emoji)?.mine ?? false;
    const on = !(this.#wanted.get(key) ?? isMine());
    this.#wanted.set(key, on);
    try {
      const stored = await this.#chat.react(seq, emoji, on);
      // The event may arrive after the reply.
      if (stored.seq > (this.#chat.last ?? 0)) await this.#waitForEvent(stored.seq);
    } catch (error) {
      if (this.#wanted.get(key) === on) toast(errorText(error, { limit_exceeded: 'error-reaction-limit' }));
    } finally {
      if (this.#wanted.get(key) === on) this.#wanted.delete(key);
    }
  }

  /** Waits for the event of that seq, or for the end of the chat. @param {number} seq @returns {Promise<void>} */
  #waitForEvent(seq) {
    return new Promise((resolve) => {
      /** @type {(() => void)[]} */
      const ends = [];
      const end = () => { ends.forEach((stop) => stop()); resolve(); };
      ends.push(this.#chat.on('event', (event) => { if (event.seq >= seq) end(); }), this.#chat.on('reset', end), this.#chat.on('lost', end));
    });
  }

  /** Deletes a message after a confirmation. @param {Line} line */
  async #delete(line) {
    const isSure = await ask({ title: text('delete-title'), text: inline(line.text ?? ''), yes: text('delete') });
    if (isSure) await this.#chat.delete(line.seq).catch((error) => toast(errorText(error)));
  }
}
