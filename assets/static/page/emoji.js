// @ts-check
/** The dialog in which the user chooses an emoji. */

import { button, byId, part } from './dom.js';

const EMOJI = ['👍', '❤️', '😂', '🎉', '😮', '😢', '🙏', '👏', '🔥', '👀', '✅', '❌', '😀', '😉', '😍', '🤔', '😅', '😎', '🥳', '🤝', '💡', '☕', '🌹', '💔'];

/** Opens the dialog. @param {(emoji: string) => void} chosen is called with the chosen emoji */
export function chooseEmoji(chosen) {
  const dialog = /** @type {HTMLDialogElement & import('./dom.js').Part} */ (byId('emoji'));
  const choose = (/** @type {string} */ emoji) => { dialog.close(); chosen(emoji); };
  const buttons = EMOJI.map((emoji) => button(emoji, () => choose(emoji), 'icon'));
  part(dialog, 'grid').replaceChildren(...buttons);
  dialog.onkeydown = (event) => move(event, buttons);
  dialog.onclick = (event) => { if (event.target === dialog) dialog.close(); };
  dialog.showModal();
}

/**
 * Moves the focus with the arrow keys.
 * @param {KeyboardEvent} event
 * @param {HTMLElement[]} buttons
 */
function move(event, buttons) {
  const columns = 6;
  const forward = document.dir === 'rtl' ? -1 : 1;
  const step = { ArrowRight: forward, ArrowLeft: -forward, ArrowDown: columns, ArrowUp: -columns }[event.key];
  const at = buttons.indexOf(/** @type {HTMLElement} */ (document.activeElement));
  if (!step || at < 0) return;
  event.preventDefault();
  buttons[at + step]?.focus();
}
