// @ts-check
/** The rich socket of the playground: it is told everything, by number, and goes on where it was. */

import { address, path, query } from '../client/path.js';
import { part } from './dom.js';
import { Exchange, hex, parsed } from './play-http.js';
import { Column } from './play-sockets.js';
import { text } from './texts.js';

export class RichColumn extends Column {
  /** The last event that the page has, and the life of the database in which that number means something. */
  #last = 0;
  #epoch = '';

  /** The epoch of the socket that is open. Events make it ours; see docs/protocol.md. */
  #current = '';

  /** Events that were told again so far; null when nothing is being told again. @type {number | null} */
  #replayed = null;

  /** Whether an event was missing before one that came. */
  #jumped = false;

  #ids = 1;
  #posts = 0;
  #lastSent = '';

  constructor() {
    super('play-rich');
    this.exchange = new Exchange(this.root);
    this.press('again', () => this.send(this.#lastSent));
    this.press('meanwhile', () => this.#post());
  }

  forget() {
    super.forget();
    [this.#last, this.#epoch, this.#lastSent] = [0, '', ''];
  }

  /**
   * By the name under which the page was opened, whatever the server calls itself.
   * @param {import('./play-sockets.js').Target} target
   */
  address({ group }) {
    return address(location.origin.replace(/^http/, 'ws'), path`/ws/chat/${group}/`);
  }

  offers() {
    return ['chat.v1.json', `bearer.${this.target?.access}`];
  }

  comeBack() {
    if (!this.target || this.state !== 'away') return;
    const again = new URL(this.address(this.target) + query({ after: this.#last, epoch: this.#epoch }));
    this.say(text('play-resume', { address: again.pathname + again.search }));
    this.connect(again.href);
  }

  /** @param {string} words */
  frame(words) {
    const frame = { type: 'send', id: this.#ids++, group: this.target?.group, cid: hex(16), text: words };
    this.#lastSent = JSON.stringify(frame);
    return this.#lastSent;
  }

  /** @param {string} raw */
  send(raw) {
    super.send(raw);
    this.render();
  }

  /** @param {string} raw */
  hear(raw) {
    const frame = parsed(raw);
    this.log.received(raw, frame?.type === 'event' && this.#replayed !== null);
    if (frame?.type === 'hello') this.#current = frame.epoch;
    else if (frame?.type === 'group') this.#begin(frame);
    else if (frame?.type === 'event') this.#take(frame.seq);
    else if (frame?.type === 'sync') this.#caughtUp(frame.seq);
    else if (frame?.type === 'reset') this.#reset(frame.head);
    else if (frame?.type === 'ok' && frame.dup) this.say(text('play-dup', { seq: String(frame.seq) }));
    this.render();
  }

  /** @param {{ mode: string, head: number }} group */
  #begin({ mode, head }) {
    this.#jumped = false;
    this.#replayed = mode === 'replay' ? 0 : null;
    // Who asks for nothing that was before has all there is to have.
    if (mode === 'live') this.#keep(head);
  }

  /** @param {number} seq */
  #take(seq) {
    if (seq <= this.#last) return;
    this.#jumped ||= seq !== this.#last + 1;
    this.#keep(seq);
    if (this.#replayed !== null) this.#replayed += 1;
  }

  /** @param {number} seq */
  #caughtUp(seq) {
    if (this.#replayed === null) return;
    // It is counted here, not taken on trust.
    const whole = !this.#jumped && seq === this.#last;
    this.say(whole ? text('play-replayed', { count: this.#replayed }) : text('play-incomplete'));
    this.#replayed = null;
  }

  /** @param {number} head */
  #reset(head) {
    this.#keep(head);
    this.say(text('play-reset'));
  }

  /** @param {number} seq */
  #keep(seq) {
    [this.#last, this.#epoch] = [seq, this.#current];
  }

  /** What this socket misses: it is away, and somebody (here the same learner) posts over HTTP. */
  async #post() {
    const { target } = this;
    if (!target) return;
    const body = JSON.stringify({ text: text('play-meanwhile', { number: ++this.#posts }) });
    await this.exchange.post({ path: path`/api/groups/${target.group}/messages/`, body, access: target.access, key: hex(16) });
  }

  render() {
    super.render();
    part(this.root, 'kept').textContent = `after=${this.#last}&epoch=${this.#epoch}`;
    this.enable('meanwhile', this.state === 'away' && this.met);
    this.enable('again', this.state === 'open' && this.#lastSent !== '');
  }
}
