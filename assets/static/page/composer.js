// @ts-check
/** The form for messages: sends, edits and replies. The storage keeps the draft. */

import { on, part, toast } from './dom.js';
import { errorText } from './errors.js';
import { inline } from './prose.js';
import { number, text } from './texts.js';

/**
 * @typedef {import('../salam.js').Chat} Chat
 * @typedef {import('../timeline.js').Line} Line
 */

/** The maximum length of a message in characters, as the server's `limits.text`. */
const LIMIT = 8000;

/** The length from which on the form shows the number of characters. */
const SHOW_COUNT_FROM = 7000;

/** The form for messages of one chat. */
export class Composer {
  #chat;
  #form;
  #field;
  #key;
  /** @type {{ type: 'reply' | 'edit', line: Line } | null} */
  #context = null;
  #nameOf;

  /**
   * @param {Chat} chat
   * @param {import('./dom.js').Part} view of the conversation
   * @param {{ key: string, nameOf: (username: string | null) => string, lastOwn: () => any, sent: () => void }} own
   *   `key` is the key of the draft in the storage
   */
  constructor(chat, view, { key, nameOf, lastOwn, sent }) {
    this.#chat = chat;
    this.#form = part(view, 'composer');
    this.#field = part(view, 'text');
    this.#key = key;
    this.#nameOf = nameOf;
    this.#field.value = this.#draft;
    on(this.#field, 'input', () => this.#changed());
    on(this.#field, 'keydown', (event) => this.#press(event, lastOwn));
    on(this.#form, 'submit', (event) => {
      event.preventDefault();
      if (this.#submit()) sent();
      this.#field.focus();
    });
    on(part(view, 'context-end'), 'click', () => this.#cancel());
    this.#grow();
  }

  focus() { this.#field.focus(); }

  /** Is called when the view is shown. A touch screen gets no focus, because it would open the keyboard. */
  shown() {
    this.#grow();
    if (matchMedia('(pointer: fine)').matches) this.focus();
  }

  /** Begins a reply. @param {Line} line */
  reply(line) {
    if (this.#context?.type === 'edit') this.#cancel();
    this.#begin({ type: 'reply', line }, this.#field.value);
  }

  /** Begins an edit. @param {Line} line */
  edit(line) { this.#begin({ type: 'edit', line }, line.text ?? ''); }

  /** Ends a reply to a deleted line, or its edit. @param {number} seq */
  gone(seq) {
    if (this.#context?.line.seq !== seq) return;
    // The typed text is kept as a new message.
    const words = this.#field.value;
    this.#end();
    this.#field.value = words;
    this.#changed();
  }

  /**
   * Shows the context of a reply or an edit.
   * @param {{ type: 'reply' | 'edit', line: Line }} context
   * @param {string} words
   */
  #begin(context, words) {
    this.#context = context;
    const { type, line } = context;
    part(this.#form, 'context').hidden = false;
    part(this.#form, 'context-text').textContent = type === 'edit'
      ? text('editing') : text('replying', { name: this.#nameOf(line.by), text: inline(line.text ?? '') });
    this.#field.value = words;
    this.#grow();
    this.#field.focus();
  }

  #cancel() {
    this.#end();
    this.#field.focus();
  }

  #end() {
    const wasEdit = this.#context?.type === 'edit';
    this.#context = null;
    part(this.#form, 'context').hidden = true;
    if (wasEdit) this.#field.value = this.#draft;
    this.#grow();
  }

  #changed() {
    const { value } = this.#field;
    this.#grow();
    if (this.#context?.type === 'edit') return;
    this.#storeDraft(value);
    this.#chat.typing(value.trim() !== '');
  }

  get #draft() {
    try { return localStorage.getItem(this.#key) ?? ''; } catch { return ''; }
  }

  /** Stores the draft. @param {string} draft */
  #storeDraft(draft) {
    try {
      if (draft) localStorage.setItem(this.#key, draft);
      else localStorage.removeItem(this.#key);
    } catch { /* the storage is full or forbidden */ }
  }

  /**
   * @param {KeyboardEvent} event
   * @param {() => any} lastOwn
   */
  #press(event, lastOwn) {
    if (event.isComposing) return; // Enter ends the composition of a character
    const isTouch = matchMedia('(pointer: coarse)').matches;
    if (event.key === 'Enter' && !event.shiftKey && !isTouch) {
      event.preventDefault();
      this.#form.requestSubmit();
    } else if (event.key === 'Escape' && this.#context) {
      event.preventDefault();
      this.#cancel();
    } else if (event.key === 'ArrowUp' && this.#field.value === '') {
      const line = lastOwn();
      if (line) {
        event.preventDefault();
        this.edit(line);
      }
    }
  }

  /** Sends or edits a message. @returns {boolean} whether a message was sent */
  #submit() {
    const words = this.#field.value.trim();
    if (!words || [...words].length > LIMIT) return false;
    const context = this.#context;
    if (context?.type === 'edit') {
      if (words !== context.line.text) this.#sendEdit(context.line, words);
      this.#cancel();
      return false;
    }
    // The message itself shows its state.
    this.#chat.send(words, { replyTo: context?.line.seq }).catch(() => {});
    this.#field.value = '';
    this.#storeDraft('');
    this.#cancel();
    return true;
  }

  /**
   * Sends an edit. After a failure, the form shows the text again.
   * @param {Line} line
   * @param {string} words
   */
  async #sendEdit(line, words) {
    try {
      await this.#chat.edit(line.seq, words);
    } catch (error) {
      toast(errorText(error));
      if (!this.#context && !this.#field.value && line.text !== null) this.#begin({ type: 'edit', line }, words);
    }
  }

  /** Adjusts the height of the field, and shows the count. */
  #grow() {
    const { style, value } = this.#field;
    style.blockSize = 'auto';
    const { scrollHeight, offsetHeight, clientHeight } = this.#field;
    style.blockSize = `${scrollHeight + offsetHeight - clientHeight}px`; // including the border
    const length = [...value.trim()].length;
    const count = part(this.#form, 'count');
    count.textContent = length > LIMIT ? text('too-long', { count: length - LIMIT }) : length > SHOW_COUNT_FROM ? `${number(length)} / ${number(LIMIT)}` : '';
    count.classList.toggle('error', length > LIMIT);
    part(this.#form, 'send').ariaDisabled = length === 0 || length > LIMIT ? 'true' : null;
  }
}
