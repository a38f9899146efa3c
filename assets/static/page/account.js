// @ts-check
/** The view of the user's account: sessions, password, and sign-out. */

import { ask, avatar, busy, button, clone, on, part, toast } from './dom.js';
import { errorText } from './errors.js';
import { fromNow, plain, text } from './texts.js';

/** @typedef {import('../salam.js').Salam} Salam */

/** Returns the view of the account. @param {Salam} salam */
export function accountView(salam) {
  const view = clone('account');
  const { username = '', name = '' } = salam.user ?? {};
  avatar(part(view, 'avatar'), username, plain(name));
  part(view, 'name').textContent = plain(name);
  part(view, 'username').textContent = `@${username}`;
  part(view, 'for').value = username;
  on(part(view, 'out'), 'click', () => busy(part(view, 'out'), () => signOut(salam)));
  on(part(view, 'others'), 'click', () => busy(part(view, 'others'), () => end(() => salam.endOtherSessions())));
  on(part(view, 'password'), 'submit', (event) => {
    event.preventDefault();
    busy(part(view, 'change'), async () => {
      // The change has ended the other sessions, so the list is outdated.
      if (await change(salam, view)) await sessions(salam, view, end);
    });
  });
  const end = async (/** @type {() => Promise<void>} */ action) => {
    await action().catch((error) => toast(errorText(error)));
    await sessions(salam, view, end);
  };
  sessions(salam, view, end);
  return view;
}

/** Signs out. Asks first if unsent messages would be lost. @param {Salam} salam */
async function signOut(salam) {
  const unsent = [...salam.connect().chats.values()].reduce((sum, { pending }) => sum + pending.length, 0);
  const isSure = unsent === 0 || await ask({ title: text('unsent', { count: unsent }), text: text('unsent-lost'), yes: text('sign-out') });
  if (isSure) await salam.logout();
}

/**
 * Loads and shows the sessions.
 * @param {Salam} salam
 * @param {import('./dom.js').Part} view
 * @param {(action: () => Promise<void>) => Promise<void>} end ends sessions, and shows the rest
 */
async function sessions(salam, view, end) {
  const error = part(view, 'sessions-error');
  error.textContent = '';
  try {
    const active = await salam.sessions();
    part(view, 'others').hidden = active.length < 2;
    part(view, 'sessions').replaceChildren(...active.map((session) => {
      const row = clone('row');
      part(row, 'avatar').remove();
      part(row, 'name').textContent = device(session.user_agent);
      const when = text('last-used', { when: fromNow(new Date(session.last_used_at)) });
      part(row, 'detail').textContent = session.current ? `${text('this-device')} · ${when}` : when;
      if (!session.current) part(row, 'actions').append(button(text('sign-out'), () => end(() => salam.endSession(session.id))));
      return row;
    }));
  } catch (failed) {
    error.textContent = errorText(failed);
  }
}

/** Returns the browser and the system of a user agent, if they are known. @param {string | null} agent */
function device(agent) {
  if (!agent) return text('device-unknown');
  const browser = [['Edg/', 'Edge'], ['OPR/', 'Opera'], ['Firefox/', 'Firefox'], ['Chrome/', 'Chrome'], ['Safari/', 'Safari']].find(([sign]) => agent.includes(sign));
  const system = ['Android', 'iPhone', 'iPad', 'Windows', 'Mac OS', 'Linux'].find((name) => agent.includes(name));
  const words = [browser?.[1], system].filter(Boolean).join(', ');
  return plain(words || agent).slice(0, 80);
}

/**
 * Changes the password. This page stays signed in with the new tokens.
 * @param {Salam} salam
 * @param {import('./dom.js').Part} view
 * @returns {Promise<boolean>} whether the password was changed
 */
async function change(salam, view) {
  const form = part(view, 'password');
  const error = part(view, 'password-error');
  error.textContent = '';
  try {
    await salam.changePassword(form.elements.old.value, form.elements.new.value);
    form.reset();
    toast(text('password-changed'));
    return true;
  } catch (failed) {
    error.textContent = errorText(failed);
    form.elements[/** @type {any} */ (failed).field ?? 'old']?.focus();
    return false;
  }
}
