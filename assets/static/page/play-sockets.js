// @ts-check
/** The common part of the two sockets of the playground, and the base socket. */

import { byId, on, part } from './dom.js';
import { shorten } from './play-http.js';
import { Log } from './play-log.js';
import { text } from './texts.js';

/**
 * @typedef {{ group: string, address: string, access: string }} Target a group, the address of its socket, and a token
 * @typedef {'away' | 'opening' | 'open' | 'closing'} State
 */

const STATES = { away: 'play-not-connected', opening: 'play-opening', open: 'play-open', closing: 'play-closing' };

/** The close code of a socket that closed without a close frame. */
const ABNORMAL = 1006;

/** The close code of a normal end. */
const NORMAL = 1000;

/** A socket that the learner opens, uses and drops by hand, with its log. */
export class Column {
  /** @type {Target | null} */
  target = null;

  /** @type {State} */
  state = 'away';

  /** Whether the socket of this group was open before. Only then it can reconnect. */
  wasOpen = false;

  /** @type {WebSocket | null} */
  #socket = null;

  /** @param {string} id of its element */
  constructor(id) {
    this.root = byId(id);
    this.log = new Log(part(this.root, 'log'));
    this.onClick('open', () => this.open());
    this.onClick('close', () => this.close());
    this.onClick('drop', () => this.drop());
    this.onClick('back', () => this.reconnect());
    on(part(this.root, 'form'), 'submit', (event) => {
      event.preventDefault();
      this.sendTyped();
    });
  }

  /** Sets the group and the token of the next socket. @param {Target} target */
  setTarget(target) {
    if (this.target && this.target.group !== target.group) this.reset();
    this.target = target;
    this.render();
  }

  /** Discards the state of the previous group. */
  reset() {
    this.drop();
    this.wasOpen = false;
    this.log.clear();
    part(this.root, 'handshake').textContent = part(this.root, 'said').textContent = '';
  }

  /** Opens the socket. */
  open() {
    if (this.target && this.state === 'away') this.connect(this.address(this.target));
  }

  /** Returns the URL of the socket. @param {Target} target @returns {string} */
  address(target) {
    return target.address;
  }

  /** Opens the socket again. */
  reconnect() {
    this.open();
  }

  /** Closes the socket. */
  close() {
    this.#socket?.close(NORMAL);
    this.setState('closing');
  }

  /**
   * Simulates a lost network: the page ignores all further events of the socket.
   *
   * The browser still sends a close frame, because a script cannot cut the connection.
   */
  drop() {
    const socket = this.#socket;
    if (!socket) return;
    this.#socket = null;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
    this.note(text('play-dropped'));
    this.setState('away');
  }

  /** Opens a socket to a URL. @param {string} address */
  connect(address) {
    this.#show(address);
    this.setState('opening');
    try {
      const socket = new WebSocket(address, this.subprotocols());
      this.#socket = socket;
      socket.onopen = () => this.#opened(address, socket.protocol);
      socket.onmessage = ({ data }) => this.onFrame(String(data));
      socket.onclose = ({ code, reason }) => this.#closed(code, reason);
    } catch (error) {
      // The browser rejects the URL.
      this.note(String(error));
      this.setState('away');
    }
  }

  /** Returns the requested subprotocols. @returns {string[]} */
  subprotocols() {
    return [];
  }

  /** Handles a received frame. @param {string} raw */
  onFrame(raw) {
    this.log.received(raw);
  }

  /** Returns a text as a frame of this socket. @param {string} words @returns {string} */
  frame(words) {
    return JSON.stringify({ message: words });
  }

  /** Sends the content of the field: as a text, or as a raw frame. */
  sendTyped() {
    const field = part(this.root, 'text');
    const isRaw = part(this.root, 'as').value === 'raw';
    if (this.state !== 'open' || field.value === '') return;
    this.send(isRaw ? field.value : this.frame(field.value));
    // A raw frame stays in the field, so that it can be changed and sent again.
    if (!isRaw) field.value = '';
    field.focus();
  }

  /** Sends a raw frame. @param {string} raw */
  send(raw) {
    this.#socket?.send(raw);
    this.log.sent(raw);
  }

  /** Shows a note in the log, and announces it to screen readers. @param {string} words */
  note(words) {
    this.log.note(words);
    part(this.root, 'said').textContent = words;
  }

  /** Sets the state. @param {State} state */
  setState(state) {
    this.state = state;
    if (state === 'open') this.wasOpen = true;
    this.render();
  }

  /** Shows the state. */
  render() {
    const { state, target } = this;
    const focused = this.root.contains(document.activeElement) ? document.activeElement : null;
    part(this.root, 'state').textContent = text(STATES[state]);
    this.enable('open', state === 'away' && target !== null);
    this.enable('back', state === 'away' && this.wasOpen);
    this.enable('close', state === 'opening' || state === 'open');
    this.enable('drop', state !== 'away');
    this.enable('send', state === 'open');
    // A disabled button loses the focus, which would then be at the top of the page.
    if (focused instanceof HTMLButtonElement && focused.disabled) this.#next().focus();
  }

  /** Returns the element for the focus after a button was disabled. */
  #next() {
    if (this.state !== 'away') return part(this.root, 'text');
    return part(this.root, this.wasOpen ? 'back' : 'open');
  }

  /** Enables or disables a button. @param {string} name @param {boolean} isEnabled */
  enable(name, isEnabled) {
    part(this.root, name).disabled = !isEnabled;
  }

  /** Adds the action of a button. @param {string} name @param {() => void} act */
  onClick(name, act) {
    on(part(this.root, name), 'click', act);
  }

  /** Shows the handshake, as far as a script can read it. @param {string} address @param {string} [answer] */
  #show(address, answer = '') {
    const { host, pathname, search } = new URL(address);
    const subprotocols = this.subprotocols().map((name) => (name.startsWith('bearer.') ? `bearer.${shorten(name.slice(7))}` : name));
    const credential = subprotocols.length ? `Sec-WebSocket-Protocol: ${subprotocols.join(', ')}` : 'Cookie: access=…';
    const request = `GET ${pathname}${search}\nHost: ${host}\nUpgrade: websocket\n${credential}`;
    part(this.root, 'handshake').textContent = request + answer;
  }

  /** Is called when the socket is open. @param {string} address @param {string} protocol */
  #opened(address, protocol) {
    const chosen = protocol && `\nSec-WebSocket-Protocol: ${protocol}`;
    this.#show(address, `\n\n101 Switching Protocols${chosen}`);
    this.note(text('play-opened'));
    this.setState('open');
  }

  /** Is called when the socket was closed. @param {number} code @param {string} reason */
  #closed(code, reason) {
    const isRejected = code === ABNORMAL && this.state === 'opening';
    this.#socket = null;
    const words = isRejected ? text('play-rejected') : text('play-closed', { code: String(code), close: `${code} ${reason}`.trim() });
    this.note(words);
    this.setState('away');
  }
}

/** The socket of the base contract. It authenticates by the cookie, and cannot resume. */
export class BaseColumn extends Column {
  constructor() {
    super('play-base');
  }

  /** Opens the socket again, with a note that this mode cannot replay missed events. */
  reconnect() {
    this.note(text('play-no-resume'));
    super.reconnect();
  }
}
