// @ts-check
/** The rich socket of the playground. It receives each event with its seq, and resumes after a lost connection. */

import { address, path, query } from '../client/path.js';
import { part } from './dom.js';
import { Exchange, hex, parsed } from './play-http.js';
import { Column } from './play-sockets.js';
import { text } from './texts.js';

/** The column of the rich socket. */
export class RichColumn extends Column {
  /** The seq of the last received event, and its epoch. */
  #last = 0;
  #epoch = '';

  /** The epoch of the open socket. It replaces `#epoch` with the first event; see docs/protocol.md. */
  #current = '';

  /** The number of replayed events so far; null without a replay. @type {number | null} */
  #replayed = null;

  /** Whether the replay had a gap. */
  #hasGap = false;

  #nextId = 1;
  #posts = 0;
  #lastSent = '';

  constructor() {
    super('play-rich');
    this.exchange = new Exchange(this.root);
    this.onClick('again', () => this.send(this.#lastSent));
    this.onClick('meanwhile', () => this.#post());
  }

  reset() {
    super.reset();
    [this.#last, this.#epoch, this.#lastSent] = [0, '', ''];
  }

  /**
   * Returns the URL of the socket, on the host of the page. The public host of the server may differ.
   * @param {import('./play-sockets.js').Target} target
   */
  address({ group }) {
    return address(location.origin.replace(/^http/, 'ws'), path`/ws/chat/${group}/`);
  }

  subprotocols() {
    return ['chat.v1.json', `bearer.${this.target?.access}`];
  }

  reconnect() {
    if (!this.target || this.state !== 'away') return;
    const again = new URL(this.address(this.target) + query({ after: this.#last, epoch: this.#epoch }));
    this.note(text('play-resume', { address: again.pathname + again.search }));
    this.connect(again.href);
  }

  /** Returns a text as a `send` frame. @param {string} words */
  frame(words) {
    const frame = { type: 'send', id: this.#nextId++, group: this.target?.group, cid: hex(16), text: words };
    this.#lastSent = JSON.stringify(frame);
    return this.#lastSent;
  }

  /** @param {string} raw */
  send(raw) {
    super.send(raw);
    this.render();
  }

  /** @param {string} raw */
  onFrame(raw) {
    const frame = parsed(raw);
    this.log.received(raw, frame?.type === 'event' && this.#replayed !== null);
    if (frame?.type === 'hello') this.#current = frame.epoch;
    else if (frame?.type === 'group') this.#begin(frame);
    else if (frame?.type === 'event') this.#take(frame.seq);
    else if (frame?.type === 'sync') this.#caughtUp(frame.seq);
    else if (frame?.type === 'reset') this.#reset(frame.head);
    else if (frame?.type === 'ok' && frame.dup) this.note(text('play-duplicate', { seq: String(frame.seq) }));
    this.render();
  }

  /** Handles the frame `group`. @param {{ mode: string, head: number }} group */
  #begin({ mode, head }) {
    this.#hasGap = false;
    this.#replayed = mode === 'replay' ? 0 : null;
    // Without an earlier position, the head is the position.
    if (mode === 'live') this.#keep(head);
  }

  /** Handles an event. @param {number} seq */
  #take(seq) {
    if (seq <= this.#last) return;
    this.#hasGap ||= seq !== this.#last + 1;
    this.#keep(seq);
    if (this.#replayed !== null) this.#replayed += 1;
  }

  /** Handles the end of a replay. @param {number} seq */
  #caughtUp(seq) {
    if (this.#replayed === null) return;
    // The page checks the replay itself.
    const isComplete = !this.#hasGap && seq === this.#last;
    this.note(isComplete ? text('play-replayed', { count: this.#replayed }) : text('play-incomplete'));
    this.#replayed = null;
  }

  /** Handles the frame `reset`. @param {number} head */
  #reset(head) {
    this.#keep(head);
    this.note(text('play-reset'));
  }

  /** Stores the position. @param {number} seq */
  #keep(seq) {
    [this.#last, this.#epoch] = [seq, this.#current];
  }

  /** Posts a message over HTTP while the socket is closed, so that the socket misses it. */
  async #post() {
    const { target } = this;
    if (!target) return;
    const body = JSON.stringify({ text: text('play-missed', { number: ++this.#posts }) });
    await this.exchange.post({ path: path`/api/groups/${target.group}/messages/`, body, access: target.access, key: hex(16) });
  }

  render() {
    super.render();
    part(this.root, 'kept').textContent = `after=${this.#last}&epoch=${this.#epoch}`;
    this.enable('meanwhile', this.state === 'away' && this.wasOpen);
    this.enable('again', this.state === 'open' && this.#lastSent !== '');
  }
}
