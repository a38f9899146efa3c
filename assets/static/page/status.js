// @ts-check
/** The status line of the connection, and the unread count in the title. */

import { on, part } from './dom.js';
import { number, text } from './texts.js';

/**
 * @typedef {import('../salam.js').Connection} Connection
 * @typedef {import('../salam.js').State} State
 */

/**
 * Shows the state of a connection.
 * @param {import('./dom.js').Part} root
 * @param {Connection} connection
 * @returns {() => void} a function that stops showing the state
 */
export function showStatus(root, connection) {
  const [line, spoken, retry] = ['status-text', 'status-spoken', 'status-retry'].map((name) => part(root, name));
  const hint = part(root, 'status-hint');
  let last = '';
  const show = () => {
    const { state } = connection;
    const isBlocked = state.blocked && state.name !== 'over';
    part(root, 'status').dataset.state = isBlocked ? 'waiting' : state.name;
    line.textContent = stateText(state);
    retry.hidden = !['waiting', 'over'].includes(state.name);
    hint.hidden = !isBlocked;
    hint.textContent = isBlocked ? text('status-blocked-hint') : '';
    // A screen reader reads the state once, without seconds and counts that change.
    const spokenText = isBlocked ? `${text('status-blocked', { seconds: 0 })} ${hint.textContent}`
      : state.name === 'waiting' ? text('status-offline') : state.name === 'catching-up' ? text('status-catching-up') : line.textContent;
    if (spokenText !== last) spoken.textContent = last = spokenText;
  };
  on(retry, 'click', () => connection.retry());
  const end = connection.on('state', show);
  const ticking = setInterval(() => { if (connection.state.name === 'waiting') show(); }, 500);
  show();
  return () => { end(); clearInterval(ticking); };
}

/** Returns the text of a state. @param {State} state */
function stateText({ name, missing, retryAt, code, blocked, error }) {
  const seconds = Math.max(0, Math.ceil((retryAt - Date.now()) / 1000));
  if (blocked && ['waiting', 'connecting'].includes(name)) return text('status-blocked', { seconds });
  if (name === 'waiting') return text('status-waiting', { seconds });
  if (name === 'catching-up') return missing ? text('status-missing', { count: missing }) : text('status-catching-up');
  if (name === 'over' && error) return text('status-no-socket', { why: error.message });
  if (name === 'over') return text(code === 4409 ? 'status-too-many' : 'status-closed', { code: String(code) });
  return text(name === 'live' ? 'status-live' : 'status-connecting');
}

/**
 * Shows the unread count and the title of the chat in the title of the page.
 * @param {number} count
 * @param {string} title
 */
export function showTitle(count, title) {
  const name = title ? `${title} · Salam` : 'Salam';
  document.title = count ? `(${number(count)}) ${name}` : name;
}
