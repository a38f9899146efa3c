// @ts-check
/** Elements: markup stands in the page's templates, and is filled in by text alone. */

/** @typedef {HTMLElement & { [key: string]: any }} Part */

/**
 * The part of that name, which the template must have.
 * @param {ParentNode} root
 * @param {string} name
 * @returns {Part}
 */
export function part(root, name) {
  const found = root.querySelector(`[data-part="${name}"]`);
  if (!found) throw new Error(`no part ${name}`);
  return /** @type {Part} */ (found);
}

/**
 * What the template of that id holds, anew.
 * @param {string} id
 * @returns {Part}
 */
export function clone(id) {
  const template = /** @type {HTMLTemplateElement} */ (byId(id));
  return /** @type {Part} */ (document.importNode(template.content, true).firstElementChild);
}

/** @param {string} id @returns {Part} */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`no element ${id}`);
  return /** @type {Part} */ (found);
}

/**
 * @param {EventTarget} target
 * @param {string} type
 * @param {(event: any) => void} listener
 */
export const on = (target, type, listener) => target.addEventListener(type, listener);

/**
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
 * A button that does something, once at a time.
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
 * Keeps a button from being pressed again while its work goes on; it keeps its focus.
 * @param {Part} element
 * @param {() => unknown} act
 */
export async function busy(element, act) {
  if (element.ariaDisabled === 'true') return;
  element.ariaDisabled = 'true';
  try { await act(); } finally { element.ariaDisabled = null; }
}

/** Tells who cannot see it. @param {string} message */
export function announce(message) {
  byId('announce').textContent = message;
}

/** @type {ReturnType<typeof setTimeout> | undefined} */
let toasting;

/** Says what went wrong where nothing else has a place for it. @param {string} message */
export function toast(message) {
  const element = byId('toast');
  element.textContent = message;
  element.hidden = false;
  clearTimeout(toasting);
  toasting = setTimeout(() => { element.hidden = true; }, 6000);
}

const graphemes = new Intl.Segmenter(undefined, { granularity: 'grapheme' });

/**
 * The initial of a name on a colour that is always the same for it.
 * @param {Part} element
 * @param {string} key
 * @param {string} name
 */
export function avatar(element, key, name) {
  const [initial] = graphemes.segment(name.trim());
  element.textContent = initial?.segment.toUpperCase() ?? '?';
  let hue = 7;
  for (const character of key) hue = (hue * 31 + (character.codePointAt(0) ?? 0)) % 9973;
  element.style.setProperty('--hue', String((hue * 137) % 360)); // by the golden angle, so that neighbours differ
}

/** The answer to the last question; in vain if there was one. @type {((isSure: boolean) => void) | undefined} */
let unanswered;

/**
 * Asks before something that cannot be undone.
 * @param {{ title: string, text: string, yes: string }} question
 * @returns {Promise<boolean>}
 */
export function ask({ title, text, yes }) {
  const dialog = /** @type {HTMLDialogElement & Part} */ (byId('ask'));
  part(dialog, 'title').textContent = title;
  part(dialog, 'text').textContent = text;
  part(dialog, 'yes').textContent = yes;
  dialog.showModal();
  unanswered?.(false);
  return new Promise((resolve) => {
    unanswered = resolve;
    part(dialog, 'yes').onclick = () => dialog.close('yes');
    part(dialog, 'no').onclick = () => dialog.close('');
    dialog.onclose = () => {
      if (dialog.open) return; // it was the question before that was closed
      resolve(dialog.returnValue === 'yes');
      dialog.returnValue = '';
    };
  });
}
