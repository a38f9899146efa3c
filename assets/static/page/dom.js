// @ts-check
/** Helpers for elements. The page's templates contain all markup; scripts only set text and attributes. */

/** @typedef {HTMLElement & { [key: string]: any }} Part */

/**
 * Returns the part with a name.
 * @param {ParentNode} root
 * @param {string} name
 * @returns {Part}
 * @throws {Error} if the template has no such part
 */
export function part(root, name) {
  const element = root.querySelector(`[data-part="${name}"]`);
  if (!element) throw new Error(`no part ${name}`);
  return /** @type {Part} */ (element);
}

/**
 * Returns a new copy of the content of a template.
 * @param {string} id
 * @returns {Part}
 */
export function clone(id) {
  const template = /** @type {HTMLTemplateElement} */ (byId(id));
  return /** @type {Part} */ (document.importNode(template.content, true).firstElementChild);
}

/** Returns the element with an id. @param {string} id @returns {Part} */
export function byId(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`no element ${id}`);
  return /** @type {Part} */ (element);
}

/**
 * Adds a listener.
 * @param {EventTarget} target
 * @param {string} type
 * @param {(event: any) => void} listener
 */
export const on = (target, type, listener) => target.addEventListener(type, listener);

/**
 * Creates an element.
 * @param {string} name of the tag
 * @param {Record<string, any>} [fields] of the element
 * @param {(Node | string)[]} children
 * @returns {Part}
 */
export function make(name, fields = {}, ...children) {
  const element = Object.assign(document.createElement(name), fields);
  element.append(...children);
  return /** @type {Part} */ (element);
}

/**
 * Creates a button. It ignores clicks while its action runs.
 * @param {string} label
 * @param {() => unknown} act
 * @param {string} [className]
 */
export function button(label, act, className = 'link') {
  const element = make('button', { type: 'button', className }, label);
  on(element, 'click', () => busy(element, act));
  return element;
}

/**
 * Runs the action of a button. A click during the action has no effect; the button keeps its focus.
 * @param {Part} element
 * @param {() => unknown} act
 */
export async function busy(element, act) {
  if (element.ariaDisabled === 'true') return;
  element.ariaDisabled = 'true';
  try { await act(); } finally { element.ariaDisabled = null; }
}

/** Announces a message to users of screen readers. @param {string} message */
export function announce(message) {
  byId('announce').textContent = message;
}

/** @type {ReturnType<typeof setTimeout> | undefined} */
let toastTimer;

/** Shows a message for a few seconds, for errors that no part of the view shows. @param {string} message */
export function toast(message) {
  const element = byId('toast');
  element.textContent = message;
  element.hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { element.hidden = true; }, 6000);
}

const graphemes = new Intl.Segmenter(undefined, { granularity: 'grapheme' });

/**
 * Shows the initial of a name on a colour that depends only on the key.
 * @param {Part} element
 * @param {string} key
 * @param {string} name
 */
export function avatar(element, key, name) {
  const [initial] = graphemes.segment(name.trim());
  element.textContent = initial?.segment.toUpperCase() ?? '?';
  let hue = 7;
  for (const character of key) hue = (hue * 31 + (character.codePointAt(0) ?? 0)) % 9973;
  element.style.setProperty('--hue', String((hue * 137) % 360)); // the golden angle gives similar keys different colours
}

/** Resolves the last question; has no effect after its answer. @type {((isSure: boolean) => void) | undefined} */
let resolveLast;

/**
 * Asks the user to confirm an action that cannot be undone.
 * @param {{ title: string, text: string, yes: string }} question
 * @returns {Promise<boolean>}
 */
export function ask({ title, text, yes }) {
  const dialog = /** @type {HTMLDialogElement & Part} */ (byId('ask'));
  part(dialog, 'title').textContent = title;
  part(dialog, 'text').textContent = text;
  part(dialog, 'yes').textContent = yes;
  dialog.showModal();
  resolveLast?.(false);
  return new Promise((resolve) => {
    resolveLast = resolve;
    part(dialog, 'yes').onclick = () => dialog.close('yes');
    part(dialog, 'no').onclick = () => dialog.close('');
    dialog.onclose = () => {
      if (dialog.open) return; // the previous question was closed
      resolve(dialog.returnValue === 'yes');
      dialog.returnValue = '';
    };
  });
}
