// @ts-check
/** The view for signing in and up. */

import { busy, clone, on, part } from './dom.js';
import { errorText } from './errors.js';
import { text } from './texts.js';

/** @typedef {import('../salam.js').Salam} Salam */

/**
 * Returns the view for a user who is not signed in.
 * @param {Salam} salam
 * @param {{ isNew: boolean, note: string }} options whether the view begins with signing up, and a note to show
 */
export function signView(salam, options) {
  const view = clone('sign');
  let { isNew } = options;
  const form = part(view, 'form');
  const offer = part(view, 'offer');
  offer.textContent = options.note;
  offer.hidden = !options.note;
  const show = () => {
    part(form, 'heading').textContent = part(form, 'submit').textContent = text(isNew ? 'sign-up' : 'sign-in');
    part(form, 'switch-text').textContent = text(isNew ? 'have-account' : 'no-account');
    part(form, 'switch').textContent = text(isNew ? 'sign-in' : 'sign-up');
    part(form, 'name-field').hidden = !isNew;
    for (const field of ['username', 'password']) {
      part(form, `${field}-hint`).hidden = !isNew;
      // A screen reader would read a hidden hint too.
      if (isNew) form.elements[field].setAttribute('aria-describedby', `${field}-hint`);
      else form.elements[field].removeAttribute('aria-describedby');
    }
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
 * Signs in, or up and in.
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
  } catch (failure) {
    // The text is set again, so that a screen reader reads the same error again.
    error.textContent = signErrorText(failure);
    const { field, errors = {} } = /** @type {any} */ (failure);
    const invalid = [isTaken(failure) ? 'username' : field, ...Object.keys(errors)].map((name) => form.elements[name]).filter(Boolean);
    for (const input of invalid) input.ariaInvalid = 'true';
    (invalid[0] ?? form.elements.password).focus();
  }
}

/** Returns true if another user has the username. @param {any} failure */
const isTaken = (failure) => failure.message === 'Username already used';

/** Returns the text of an error of signing in or up. @param {any} failure */
const signErrorText = (failure) => (isTaken(failure) ? text('error-username-taken') : errorText(failure, { unauthorized: 'error-login' }));

/** Returns the text of an invite. @param {{ title: string | null, invited_by: { username: string, name: string } }} offer */
export function offerText({ title, invited_by: { name, username: by } }) {
  const username = `@${by}`;
  return title ? text('offer', { name, username, title }) : text('offer-untitled', { name, username });
}
