// @ts-check
/** The page: the signed-in user, and the view that the address selects. */

import { Salam } from '../salam.js';
import { accountView } from './account.js';
import { Chats } from './chats.js';
import { Conversation } from './conversation.js';
import { avatar, busy, byId, clone, on, part, toast } from './dom.js';
import { errorText } from './errors.js';
import { offerText, signView } from './sign.js';
import { showStatus, showTitle } from './status.js';
import { plain, text } from './texts.js';

const salam = new Salam();
const root = byId('app');

/**
 * The parts of the page that stay while a user is signed in.
 * @type {{ shell: import('./dom.js').Part, chats: Chats, end: () => void } | null}
 */
let signedIn = null;
/** @type {Conversation | null} */
let conversation = null;
let signedOutBy = '';
/** The ids of the texts for the reasons why a membership has ended. */
const LOST = /** @type {Record<string, string>} */ ({ kicked: 'lost-removed', banned: 'lost-banned', left: 'lost-left' });

/** A group that the server did not find, so that it is not requested again. */
let notFound = '';

/** Returns the route of the address: `#/chat/chat_a1b2c3d4`, `#/invite/<code>`, `#/account`, or the list. */
function route() {
  const [, place = '', code = ''] = location.hash.split('/');
  // Anybody can write an address. Only values with the form of a group's name or an invite's code are accepted.
  const form = place === 'chat' ? /^chat_[0-9a-f]{8,32}$/ : /^[0-9a-f]{8,32}$/;
  return { place, name: form.test(code) ? code : '' };
}

/** Shows the view of the current route. */
async function show() {
  for (const dialog of document.querySelectorAll('dialog')) dialog.close(); // they belong to the previous view
  if (!salam.user) return showSign();
  signedIn ??= enter();
  notFound = '';
  const { place, name } = route();
  const { shell, chats } = signedIn;
  shell.classList.toggle('inside', place !== '');
  chats.show(place === 'chat' ? name : '');
  conversation?.close();
  conversation = null;
  if (place === 'chat') showChat(name);
  else if (place === 'account') fill(accountView(salam));
  else if (place === 'invite') fill(inviteView(name));
  else fill(clone('nothing'));
  badge();
  keepFocus();
}

/** Moves the focus into the new view if the element with the focus was removed. For users with a keyboard. */
function keepFocus() {
  const { activeElement } = document;
  if (!signedIn || (activeElement && activeElement !== document.body && activeElement.checkVisibility())) return;
  part(signedIn.shell, route().place === '' ? 'new' : 'main').focus();
}

/** Puts a view into the main part. @param {HTMLElement} view */
function fill(view) {
  const main = part(/** @type {NonNullable<typeof signedIn>} */ (signedIn).shell, 'main');
  main.replaceChildren(view);
}

/** Shows the view for signing in and up. */
async function showSign() {
  const { place, name } = route();
  const note = { elsewhere: text('signed-out-elsewhere'), expired: text('signed-out-expired') }[signedOutBy] ?? '';
  const isInvited = place === 'invite' && name !== '';
  const view = signView(salam, { isNew: isInvited, note: isInvited ? text('invited-sign') : note });
  root.replaceChildren(view);
  showTitle(0, '');
  part(view, 'form').elements[isInvited ? 'name' : 'username'].focus();
}

/** Creates the parts of the page that stay while a user is signed in. */
function enter() {
  const shell = clone('shell');
  root.replaceChildren(shell);
  const user = /** @type {import('../salam.js').User} */ (salam.user);
  avatar(part(shell, 'me'), user.username, plain(user.name));
  const connection = salam.connect();
  const chats = new Chats(salam, connection, part(shell, 'chats'), () => changed());
  const endStatus = showStatus(shell, connection);
  const lost = connection.on('lost', (chat) => {
    if (route().name !== chat.group) return;
    toast(lostText(chat.lostBy, conversation?.leftBy ?? ''));
    location.hash = '#/';
  });
  for (const name of ['new', 'first']) on(part(shell, name), 'click', newChat);
  const end = () => { chats.close(); endStatus(); lost(); };
  return { shell, chats, end };
}

/**
 * Returns the text for the end of a subscription.
 * @param {string} code
 * @param {string} leftBy the reason of the event that ended the membership; empty if the page did not receive it
 */
function lostText(code, leftBy) {
  if (code === 'limit_exceeded') return text('too-many-chats');
  return text(code === 'gone' ? 'lost-deleted' : LOST[leftBy] ?? 'lost-other');
}

/** Is called when the list or the unread count has changed. */
function changed() {
  if (!signedIn) return;
  const { shell, chats } = signedIn;
  part(shell, 'no-chats').hidden = !chats.isLoaded || !chats.isEmpty;
  part(shell, 'chats').hidden = chats.isEmpty;
  const { place, name } = route();
  if (place === 'chat' && !conversation && notFound !== name && (chats.isLoaded || chats.chat(name))) showChat(name);
  badge();
}

/** Shows the unread count in the title of a hidden page. */
function badge() {
  if (!signedIn) return;
  const { place, name } = route();
  showTitle(document.hidden ? signedIn.chats.unread : 0, place === 'chat' ? signedIn.chats.titleOf(name) : '');
}

/** Shows a chat, and loads it if it is not in the list. @param {string} group */
async function showChat(group) {
  const { chats } = /** @type {NonNullable<typeof signedIn>} */ (signedIn);
  const chat = chats.chat(group);
  if (chat) {
    conversation = new Conversation(salam, chat, () => chats.titleOf(group), () => chats.membersOf(group));
    fill(conversation.view);
    conversation.shown();
    return;
  }
  const view = clone('nothing');
  [part(view, 'title').textContent, part(view, 'text').textContent] = [text('loading'), ''];
  fill(view);
  if (!chats.isLoaded) return; // `changed` calls this function again
  if (!group || notFound === group) {
    part(view, 'title').textContent = text('chat-not-found');
    return;
  }
  try {
    // The list does not contain all chats of a user with many.
    chats.add(await salam.group(group));
    changed();
  } catch (error) {
    if (/** @type {any} */ (error).status) notFound = group;
    part(view, 'title').textContent = errorText(error, { not_found: 'chat-not-found' });
  }
}

/** Returns the view of an invite. @param {string} code */
function inviteView(code) {
  const view = clone('invite');
  const [offer, error, accept] = ['offer', 'error', 'accept'].map((name) => part(view, name));
  offer.textContent = text('loading');
  salam.offer(code).then((found) => {
    offer.textContent = offerText(found);
    accept.hidden = false;
    accept.focus();
  }, (failure) => {
    offer.textContent = failure.code === 'not_found' ? text('invite-invalid') : '';
    if (failure.code !== 'not_found') error.textContent = errorText(failure);
  });
  on(accept, 'click', () => busy(accept, async () => {
    try {
      const group = await salam.accept(code);
      signedIn?.chats.add(group);
      if (!view.isConnected) return; // the user has opened another view in between
      location.replace(`#/chat/${group.group}`);
    } catch (failure) {
      error.textContent = errorText(failure, { not_found: 'invite-invalid', limit_exceeded: 'error-join-limit' });
    }
  }));
  return view;
}

/** Opens the dialog that starts a chat. */
function newChat() {
  const dialog = /** @type {HTMLDialogElement & import('./dom.js').Part} */ (byId('new-chat'));
  const form = part(dialog, 'form');
  form.reset();
  part(dialog, 'error').textContent = '';
  part(dialog, 'cancel').onclick = () => dialog.close();
  form.onsubmit = (event) => {
    event.preventDefault();
    busy(form, async () => {
      try {
        const group = await salam.startChat(form.elements.title.value.trim());
        dialog.close();
        location.hash = `#/chat/${group}`; // the socket adds it to the list, or its address finds it
      } catch (failure) {
        part(dialog, 'error').textContent = errorText(failure, { limit_exceeded: 'error-chat-limit' });
      }
    });
  };
  dialog.showModal();
}

/** Switches the language, with the same route. */
on(document, 'click', (event) => {
  const link = event.target.closest?.('a[data-language]');
  if (!link) return;
  event.preventDefault();
  location.assign(`${location.pathname}?lang=${link.hreflang}${location.hash}`);
});

on(window, 'hashchange', show);
on(document, 'visibilitychange', badge);
salam.on('signed-in', () => { signedOutBy = ''; show(); });
salam.on('signed-out', (why) => {
  signedOutBy = why;
  conversation?.close();
  signedIn?.end();
  [conversation, signedIn] = [null, null];
  if (why === 'here') history.replaceState(null, '', location.pathname);
  show();
});
show();
