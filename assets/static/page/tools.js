// @ts-check
/** What can be done with one message: buttons that stand at the one that is pointed at or has the focus. */

import { ask, clone, on, part, toast } from './dom.js';
import { chooseEmoji } from './emoji.js';
import { inline } from './prose.js';
import { fault, text } from './texts.js';

/**
 * @typedef {import('../salam.js').Chat} Chat
 * @typedef {import('../timeline.js').Line} Line
 */

export class Tools {
  #chat;
  #me;
  #element = clone('tools');
  #find;
  #seq = 0;

  /**
   * @param {Chat} chat
   * @param {string} me
   * @param {(seq: number) => Line | undefined} find the line of that number as it is now
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
   * @param {HTMLElement} element
   * @param {Line | undefined} line none where nothing can be done
   */
  put(element, line) {
    const isThere = this.#element.parentNode === part(element, 'bubble');
    if (!line || line.text === null) {
      if (isThere || !this.#element.contains(document.activeElement)) this.#element.remove();
      return;
    }
    // Whoever uses them keeps them.
    if (isThere || this.#element.contains(document.activeElement)) return;
    this.#seq = line.seq;
    const isMine = line.by === this.#me;
    part(this.#element, 'edit').hidden = !isMine;
    part(this.#element, 'delete').hidden = !isMine && this.#chat.role === 'member';
    part(element, 'bubble').append(this.#element);
  }

  /** A line that was deleted has none, and its focus stays where it is. */
  refresh() {
    const element = this.#element.closest('li');
    if (!element || this.#find(this.#seq)?.text !== null) return;
    if (this.#element.contains(document.activeElement)) element.focus();
    this.#element.remove();
  }

  /**
   * Reacts, or takes it back.
   * @param {Line} line
   * @param {string} emoji
   */
  react(line, emoji) {
    const isMine = line.reactions.get(emoji)?.has(this.#me) ?? false;
    this.#chat.react(line.seq, emoji, !isMine).catch((error) => toast(fault(error)));
  }

  /** @param {Line} line */
  async #delete(line) {
    const isSure = await ask({ title: text('delete-title'), text: inline(line.text ?? ''), yes: text('delete-yes') });
    if (isSure) await this.#chat.delete(line.seq).catch((error) => toast(fault(error)));
  }
}
