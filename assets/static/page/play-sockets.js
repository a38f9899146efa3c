// @ts-check
/** What the two sockets of the playground have in common, and the base one. */

import { byId, on, part } from './dom.js';
import { shorten } from './play-http.js';
import { Log } from './play-log.js';
import { text } from './texts.js';

/**
 * @typedef {{ group: string, address: string, access: string }} Target a group, the address of its socket, and a token
 * @typedef {'away' | 'opening' | 'open' | 'closing'} State
 */

const STATES = { away: 'play-away', opening: 'play-opening', open: 'play-open', closing: 'play-closing' };

/** What came with the close where nothing did, and what says that all is well. */
const NO_GOODBYE = 1006;
const NORMAL = 1000;

/** A socket that a learner opens, uses and loses by hand, and what it says. */
export class Column {
  /** @type {Target | null} */
  target = null;

  /** @type {State} */
  state = 'away';

  /** Whether this group's socket has ever been open: only then there is something to come back to. */
  met = false;

  /** @type {WebSocket | null} */
  #socket = null;

  /** @param {string} id of its element */
  constructor(id) {
    this.root = byId(id);
    this.log = new Log(part(this.root, 'log'));
    this.press('open', () => this.open());
    this.press('close', () => this.close());
    this.press('drop', () => this.drop());
    this.press('back', () => this.comeBack());
    on(part(this.root, 'form'), 'submit', (event) => {
      event.preventDefault();
      this.sendTyped();
    });
  }

  /** What is opened from now on. @param {Target} target */
  aim(target) {
    if (this.target && this.target.group !== target.group) this.forget();
    this.target = target;
    this.render();
  }

  /** Nothing of the former group means anything in another. */
  forget() {
    this.drop();
    this.met = false;
    this.log.clear();
    part(this.root, 'handshake').textContent = part(this.root, 'said').textContent = '';
  }

  open() {
    if (this.target && this.state === 'away') this.connect(this.address(this.target));
  }

  /** @param {Target} target @returns {string} */
  address(target) {
    return target.address;
  }

  comeBack() {
    this.open();
  }

  close() {
    this.#socket?.close(NORMAL);
    this.become('closing');
  }

  /**
   * As if the network had gone: from this moment the page hears nothing of the socket, not even its
   * end. (Below, the browser does say goodbye to the server. A script cannot cut the line.)
   */
  drop() {
    const socket = this.#socket;
    if (!socket) return;
    this.#socket = null;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
    this.say(text('play-dropped'));
    this.become('away');
  }

  /** @param {string} address */
  connect(address) {
    this.#show(address);
    this.become('opening');
    try {
      const socket = new WebSocket(address, this.offers());
      this.#socket = socket;
      socket.onopen = () => this.#opened(address, socket.protocol);
      socket.onmessage = ({ data }) => this.hear(String(data));
      socket.onclose = ({ code, reason }) => this.#closed(code, reason);
    } catch (error) {
      // An address that the browser does not even try.
      this.say(String(error));
      this.become('away');
    }
  }

  /** The subprotocols that it asks for. @returns {string[]} */
  offers() {
    return [];
  }

  /** @param {string} raw */
  hear(raw) {
    this.log.received(raw);
  }

  /** A text as this socket sends it. @param {string} words @returns {string} */
  frame(words) {
    return JSON.stringify({ message: words });
  }

  sendTyped() {
    const field = part(this.root, 'text');
    const isRaw = part(this.root, 'as').value === 'raw';
    if (this.state !== 'open' || field.value === '') return;
    this.send(isRaw ? field.value : this.frame(field.value));
    // What is typed as JSON will be typed again, with something else in it.
    if (!isRaw) field.value = '';
    field.focus();
  }

  /** @param {string} raw */
  send(raw) {
    this.#socket?.send(raw);
    this.log.sent(raw);
  }

  /** Tells it in the log, and to who cannot see that. @param {string} words */
  say(words) {
    this.log.note(words);
    part(this.root, 'said').textContent = words;
  }

  /** @param {State} state */
  become(state) {
    this.state = state;
    if (state === 'open') this.met = true;
    this.render();
  }

  render() {
    const { state, target } = this;
    const held = this.root.contains(document.activeElement) ? document.activeElement : null;
    part(this.root, 'state').textContent = text(STATES[state]);
    this.enable('open', state === 'away' && target !== null);
    this.enable('back', state === 'away' && this.met);
    this.enable('close', state === 'opening' || state === 'open');
    this.enable('drop', state !== 'away');
    this.enable('send', state === 'open');
    // A button that can no longer be pressed would drop the focus at the top of the page.
    if (held instanceof HTMLButtonElement && held.disabled) this.#next().focus();
  }

  /** Where somebody goes on who has pressed the last button. */
  #next() {
    if (this.state !== 'away') return part(this.root, 'text');
    return part(this.root, this.met ? 'back' : 'open');
  }

  /** @param {string} name @param {boolean} can */
  enable(name, can) {
    part(this.root, name).disabled = !can;
  }

  /** @param {string} name @param {() => void} act */
  press(name, act) {
    on(part(this.root, name), 'click', act);
  }

  /** The handshake, as far as a page knows it. @param {string} address @param {string} [answer] */
  #show(address, answer = '') {
    const { host, pathname, search } = new URL(address);
    const offers = this.offers().map((offer) => (offer.startsWith('bearer.') ? `bearer.${shorten(offer.slice(7))}` : offer));
    const credential = offers.length ? `Sec-WebSocket-Protocol: ${offers.join(', ')}` : 'Cookie: access=…';
    const request = `GET ${pathname}${search}\nHost: ${host}\nUpgrade: websocket\n${credential}`;
    part(this.root, 'handshake').textContent = request + answer;
  }

  /** @param {string} address @param {string} protocol */
  #opened(address, protocol) {
    const chosen = protocol && `\nSec-WebSocket-Protocol: ${protocol}`;
    this.#show(address, `\n\n101 Switching Protocols${chosen}`);
    this.say(text('play-opened'));
    this.become('open');
  }

  /** @param {number} code @param {string} reason */
  #closed(code, reason) {
    const refused = code === NO_GOODBYE && this.state === 'opening';
    this.#socket = null;
    const words = refused ? text('play-refused') : text('play-closed', { code: String(code), close: `${code} ${reason}`.trim() });
    this.say(words);
    this.become('away');
  }
}

/** The socket of the base contract: by the cookie, and without a memory. */
export class BaseColumn extends Column {
  constructor() {
    super('play-base');
  }

  /** Says what this mode cannot do, rather than let it look as if nothing had been missed. */
  comeBack() {
    this.say(text('play-no-resume'));
    super.comeBack();
  }
}
