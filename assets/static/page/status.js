// @ts-check
/** The line that says what the connection is doing, and the badge in the title. */

import { on, part } from './dom.js';
import { number, text } from './texts.js';

/**
 * @typedef {import('../salam.js').Connection} Connection
 * @typedef {import('../salam.js').State} State
 */

/**
 * Shows the state of a connection until it is told to stop.
 * @param {import('./dom.js').Part} root
 * @param {Connection} connection
 * @returns {() => void}
 */
export function showStatus(root, connection) {
  const [line, spoken, retry] = ['status-text', 'status-spoken', 'status-retry'].map((name) => part(root, name));
  const hint = part(root, 'status-hint');
  let last = '';
  const show = () => {
    const { state } = connection;
    const isBlocked = state.blocked && state.name !== 'over';
    part(root, 'status').dataset.state = isBlocked ? 'waiting' : state.name;
    line.textContent = words(state);
    retry.hidden = !['waiting', 'over'].includes(state.name);
    hint.hidden = !isBlocked;
    hint.textContent = isBlocked ? text('status-blocked-hint') : '';
    // Seconds and counts are for the eye: whoever listens is told once.
    const said = isBlocked ? `${text('status-blocked', { seconds: 0 })} ${hint.textContent}`
      : state.name === 'waiting' ? text('status-offline') : state.name === 'catching-up' ? text('status-catching') : line.textContent;
    if (said !== last) spoken.textContent = last = said;
  };
  on(retry, 'click', () => connection.retry());
  const end = connection.on('state', show);
  const ticking = setInterval(() => { if (connection.state.name === 'waiting') show(); }, 500);
  show();
  return () => { end(); clearInterval(ticking); };
}

/** @param {State} state */
function words({ name, missing, retryAt, code, blocked, error }) {
  const seconds = Math.max(0, Math.ceil((retryAt - Date.now()) / 1000));
  if (blocked && ['waiting', 'connecting'].includes(name)) return text('status-blocked', { seconds });
  if (name === 'waiting') return text('status-waiting', { seconds });
  if (name === 'catching-up') return missing ? text('status-missing', { count: missing }) : text('status-catching');
  if (name === 'over' && error) return text('status-no-socket', { why: error.message });
  if (name === 'over') return text(code === 4409 ? 'status-too-many' : 'status-over', { code: String(code) });
  return text(name === 'live' ? 'status-live' : 'status-connecting');
}

/**
 * What has come while nobody looked.
 * @param {number} count
 * @param {string} title
 */
export function showTitle(count, title) {
  const name = title ? `${title} · Salam` : 'Salam';
  document.title = count ? `(${number(count)}) ${name}` : name;
}
