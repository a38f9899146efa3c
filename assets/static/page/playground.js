// @ts-check
/**
 * The playground: the steps from an account to two open sockets, with all requests and frames.
 *
 * The learner starts each step.
 */

import { busy, byId, on, part } from './dom.js';
import { Exchange, hex, parsed } from './play-http.js';
import { RichColumn } from './play-rich.js';
import { BaseColumn } from './play-sockets.js';
import { text } from './texts.js';

/** @typedef {import('./play-http.js').PlayResponse} PlayResponse */

/** The values of earlier responses that later steps need. */
const learner = { access: '', group: '', address: '' };

const columns = [new BaseColumn(), new RichColumn()];

/** A step: a request with an editable body. */
class Step {
  /**
   * @param {string} name of its card
   * @param {string} path
   * @param {(response: PlayResponse, body: string) => boolean} onResponse returns whether the next step is possible
   * @param {() => string} [access] returns the access token of the request
   */
  constructor(name, path, onResponse, access) {
    this.root = byId(`play-${name}`);
    this.path = path;
    this.onResponse = onResponse;
    this.access = access;
    this.exchange = new Exchange(this.root);
    on(part(this.root, 'send'), 'click', () => busy(part(this.root, 'send'), () => this.send()));
  }

  /** @returns {string} */
  get body() {
    return part(this.root, 'body').value;
  }

  /** Sets the body. @param {object} body */
  fill(body) {
    part(this.root, 'body').value = JSON.stringify(body, null, 2);
  }

  /** Sends the request. */
  async send() {
    const { body, path } = this;
    return this.onResponse(await this.exchange.post({ path, body, access: this.access?.() }), body);
  }
}

/** The body of the last successful registration. Its username is taken. */
let registeredBody = '';

const register = new Step('register', '/api/register/', (response, body) => {
  const isCreated = response.status === 201;
  // An existing account is good enough: the learner may know its password.
  if (isCreated || response.json?.error === 'Username already used') {
    registeredBody = body;
    const { username, password } = parsed(body) ?? {};
    login.fill({ username, password });
    unlock('login');
  }
  return isCreated;
});

const login = new Step('login', '/api/token/', ({ status, json }) => {
  if (status !== 200 || !json?.access) return false;
  learner.access = json.access;
  part(login.root, 'cookie').hidden = false;
  setTargets();
  unlock('chat');
  return true;
});

const chat = new Step('chat', '/api/start-chat/', ({ status, json }) => {
  if (status !== 200 || !json?.group_name) return false;
  [learner.group, learner.address] = [json.group_name, json.websocket_url];
  setTargets();
  unlock('sockets');
  return true;
}, () => learner.access);

/** Enables the card of a step whose values exist. @param {string} name */
function unlock(name) {
  const card = byId(`play-${name}`);
  part(card, 'fields').disabled = false;
  part(card, 'needs').hidden = true;
}

/** Gives the newest token and chat to the sockets. */
function setTargets() {
  if (learner.group) columns.forEach((column) => column.setTarget({ ...learner }));
}

/** Opens both sockets. */
function openBoth() {
  columns.forEach((column) => column.open());
}

/** Fills in the registration of a new user. */
function fillNewUser() {
  const number = hex(2);
  // A readable word, and 48 random bits that pass the check of passwords.
  register.fill({ name: `Learner ${number}`, username: `learner-${number}`, password: `staple-${hex(6)}` });
}

/** Runs all steps, and opens both sockets. */
async function doAll() {
  const status = part(document, 'all-status');
  status.textContent = '';
  // The username of an earlier run is taken.
  if (register.body === registeredBody) fillNewUser();
  for (const step of [register, login, chat]) {
    if (await step.send()) continue;
    status.textContent = text('play-stopped');
    step.root.scrollIntoView({ block: 'nearest' });
    return;
  }
  openBoth();
  status.textContent = text('play-done');
}

fillNewUser();
chat.fill({});
columns.forEach((column) => column.render());
on(part(document, 'all'), 'click', () => busy(part(document, 'all'), doAll));
on(part(byId('play-sockets'), 'open-both'), 'click', openBoth);
