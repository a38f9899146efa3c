// @ts-check
/**
 * The playground: the way from an account to two open sockets, step by step, with everything that
 * travels on it. It does what a client does, and nothing by itself: what comes next, the learner says.
 */

import { busy, byId, on, part } from './dom.js';
import { Exchange, hex, parsed } from './play-http.js';
import { RichColumn } from './play-rich.js';
import { BaseColumn } from './play-sockets.js';
import { text } from './texts.js';

/** @typedef {import('./play-http.js').Answer} Answer */

/** The learner's last answers, as far as a later step needs them. */
const learner = { access: '', group: '', address: '' };

const columns = [new BaseColumn(), new RichColumn()];

/** A request of the walk, with a body that can be edited. */
class Step {
  /**
   * @param {string} name of its card
   * @param {string} path
   * @param {(answer: Answer, body: string) => boolean} hear whether the walk can go on from here
   * @param {() => string} [access] the token that it shows
   */
  constructor(name, path, hear, access) {
    this.root = byId(`play-${name}`);
    this.path = path;
    this.hear = hear;
    this.access = access;
    this.exchange = new Exchange(this.root);
    on(part(this.root, 'send'), 'click', () => busy(part(this.root, 'send'), () => this.send()));
  }

  /** @returns {string} */
  get body() {
    return part(this.root, 'body').value;
  }

  /** @param {object} body */
  fill(body) {
    part(this.root, 'body').value = JSON.stringify(body, null, 2);
  }

  async send() {
    const { body, path } = this;
    return this.hear(await this.exchange.post({ path, body, access: this.access?.() }), body);
  }
}

/** The body of the last registration by which there is an account: it will not do for another one. */
let used = '';

const register = new Step('register', '/api/register/', (answer, body) => {
  const isThere = answer.status === 201;
  // An account of before will do as well: it is the learner who knows its password.
  if (isThere || answer.json?.error === 'Username already used') {
    used = body;
    const { username, password } = parsed(body) ?? {};
    login.fill({ username, password });
    unlock('login');
  }
  return isThere;
});

const login = new Step('login', '/api/token/', ({ status, json }) => {
  if (status !== 200 || !json?.access) return false;
  learner.access = json.access;
  part(login.root, 'cookie').hidden = false;
  aim();
  unlock('chat');
  return true;
});

const chat = new Step('chat', '/api/start-chat/', ({ status, json }) => {
  if (status !== 200 || !json?.group_name) return false;
  [learner.group, learner.address] = [json.group_name, json.websocket_url];
  aim();
  unlock('sockets');
  return true;
}, () => learner.access);

/** Opens a card whose step has what it needs. @param {string} name */
function unlock(name) {
  const card = byId(`play-${name}`);
  part(card, 'fields').disabled = false;
  part(card, 'needs').hidden = true;
}

/** The sockets go where the walk has led: with a newer token, or to a newer chat. */
function aim() {
  if (learner.group) columns.forEach((column) => column.aim({ ...learner }));
}

function openBoth() {
  columns.forEach((column) => column.open());
}

/** Somebody who was never here before. */
function newcomer() {
  const number = hex(2);
  // A word for people, and 48 bits at random that no check of passwords finds weak.
  register.fill({ name: `Learner ${number}`, username: `learner-${number}`, password: `staple-${hex(6)}` });
}

async function doAll() {
  const status = part(document, 'all-status');
  status.textContent = '';
  // A name is taken once: who walks again is somebody else.
  if (register.body === used) newcomer();
  for (const step of [register, login, chat]) {
    if (await step.send()) continue;
    status.textContent = text('play-stopped');
    step.root.scrollIntoView({ block: 'nearest' });
    return;
  }
  openBoth();
  status.textContent = text('play-done');
}

newcomer();
chat.fill({});
columns.forEach((column) => column.render());
on(part(document, 'all'), 'click', () => busy(part(document, 'all'), doAll));
on(part(byId('play-sockets'), 'open-both'), 'click', openBoth);
