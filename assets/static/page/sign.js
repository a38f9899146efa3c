// @ts-check
/** Signing in, and up. */

import { busy, clone, on, part } from './dom.js';
import { fault, plain, text } from './texts.js';

/** @typedef {import('../salam.js').Salam} Salam */

/**
 * The view for who is not signed in.
 * @param {Salam} salam
 * @param {{ isNew: boolean, note: string }} how whether somebody new is expected, and what to say first
 */
export function signView(salam, how) {
  const view = clone('sign');
  let { isNew } = how;
  const form = part(view, 'form');
  const offer = part(view, 'offer');
  offer.textContent = how.note;
  offer.hidden = !how.note;
  const show = () => {
    part(form, 'heading').textContent = part(form, 'submit').textContent = text(isNew ? 'sign-up' : 'sign-in');
    part(form, 'switch-text').textContent = text(isNew ? 'have-account' : 'no-account');
    part(form, 'switch').textContent = text(isNew ? 'sign-in' : 'sign-up');
    part(form, 'name-field').hidden = !isNew;
    form.elements.password.autocomplete = isNew ? 'new-password' : 'current-password';
    part(form, 'error').textContent = '';
  };
  on(part(form, 'switch'), 'click', () => {
    isNew = !isNew;
    show();
    form.elements[isNew ? 'name' : 'username'].focus();
  });
  on(form, 'submit', (event) => {
    event.preventDefault();
    busy(part(form, 'submit'), () => submit(salam, form, isNew));
  });
  show();
  return view;
}

/**
 * @param {Salam} salam
 * @param {import('./dom.js').Part} form
 * @param {boolean} isNew
 */
async function submit(salam, form, isNew) {
  const [name, username, password] = ['name', 'username', 'password'].map((field) => form.elements[field].value);
  const error = part(form, 'error');
  error.textContent = '';
  for (const field of ['name', 'username', 'password']) form.elements[field].ariaInvalid = null;
  try {
    if (isNew) await salam.register({ name: name.trim() || username, username, password });
    await salam.login({ username, password });
  } catch (refused) {
    // Set again, so that it is told again where it is the same.
    error.textContent = words(refused);
    const field = form.elements[/** @type {any} */ (refused).field ?? Object.keys(/** @type {any} */ (refused).errors ?? {})[0]];
    if (field) {
      field.ariaInvalid = 'true';
      field.focus();
    } else form.elements.password.focus();
  }
}

/** @param {any} refused */
function words(refused) {
  if (refused.status === 401) return text('fault-login');
  if (refused.message === 'Username already used') return text('fault-taken');
  const [first] = Object.entries(refused.errors ?? {});
  if (!first) return fault(refused);
  const [field, [what]] = first;
  const label = { name: text('the-name'), username: text('the-username'), password: text('the-password') }[field] ?? field;
  return text('fault-field', { field: label, what });
}

/** What somebody is invited to. @param {{ title: string | null, invited_by: { username: string, name: string } }} offer */
export function offered({ title, invited_by: { name, username } }) {
  return title ? text('offer', { name: plain(name), username, title }) : text('offer-untitled', { name: plain(name), username });
}
