// @ts-check
/** The page: who looks at it, and at what. */

import { Salam } from '../salam.js';
import { accountView } from './account.js';
import { Chats } from './chats.js';
import { Conversation } from './conversation.js';
import { avatar, busy, byId, clone, on, part, toast } from './dom.js';
import { offered, signView } from './sign.js';
import { showStatus, showTitle } from './status.js';
import { fault, plain, text } from './texts.js';

const salam = new Salam();
const root = byId('app');

/**
 * What is shown to who is signed in.
 * @type {{ shell: import('./dom.js').Part, chats: Chats, end: () => void } | null}
 */
let room = null;
/** @type {Conversation | null} */
let conversation = null;
let signedOutBy = '';
/** A group that was asked for in vain: once is enough. */
let notFound = '';

/** Where the address leads: `#/chat/chat_a1b2c3d4`, `#/invite/<code>`, `#/account`, or to the list. */
function route() {
  const [, place = '', code = ''] = location.hash.split('/');
  // Anybody can write an address: only the form of a group's name, or of an invite's code, is accepted.
  const form = place === 'chat' ? /^chat_[0-9a-f]{8,32}$/ : /^[0-9a-f]{8,32}$/;
  return { place, name: form.test(code) ? code : '' };
}

async function show() {
  for (const dialog of document.querySelectorAll('dialog')) dialog.close(); // they are about where one was
  if (!salam.user) return showSign();
  room ??= enter();
  notFound = '';
  const { place, name } = route();
  const { shell, chats } = room;
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

/** What had the focus may be gone: whoever uses a keyboard goes on at what there is instead. */
function keepFocus() {
  const { activeElement } = document;
  if (!room || (activeElement && activeElement !== document.body && activeElement.checkVisibility())) return;
  part(room.shell, route().place === '' ? 'new' : 'main').focus();
}

/** @param {HTMLElement} view */
function fill(view) {
  const main = part(/** @type {NonNullable<typeof room>} */ (room).shell, 'main');
  main.replaceChildren(view);
}

async function showSign() {
  const { place, name } = route();
  const note = { elsewhere: text('signed-out-elsewhere'), expired: text('signed-out-expired') }[signedOutBy] ?? '';
  const isInvited = place === 'invite' && name !== '';
  const view = signView(salam, { isNew: isInvited, note: isInvited ? text('invited-sign') : note });
  root.replaceChildren(view);
  showTitle(0, '');
  part(view, 'form').elements[isInvited ? 'name' : 'username'].focus();
}

/** Everything that stays while somebody is signed in. */
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
    toast(chat.lostBy === 'limit_exceeded' ? text('too-many-chats') : text('lost-chat'));
    location.hash = '#/';
  });
  for (const name of ['new', 'first']) on(part(shell, name), 'click', newChat);
  const end = () => { chats.close(); endStatus(); lost(); };
  return { shell, chats, end };
}

/** The list, or what is unread, is another. */
function changed() {
  if (!room) return;
  const { shell, chats } = room;
  part(shell, 'no-chats').hidden = !chats.isLoaded || !chats.isEmpty;
  part(shell, 'chats').hidden = chats.isEmpty;
  const { place, name } = route();
  if (place === 'chat' && !conversation && notFound !== name && (chats.isLoaded || chats.chat(name))) showChat(name);
  badge();
}

function badge() {
  if (!room) return;
  const { place, name } = route();
  showTitle(document.hidden ? room.chats.unread : 0, place === 'chat' ? room.chats.titleOf(name) : '');
}

/** @param {string} group */
async function showChat(group) {
  const { chats } = /** @type {NonNullable<typeof room>} */ (room);
  const chat = chats.chat(group);
  if (chat) {
    conversation = new Conversation(salam, chat, () => chats.titleOf(group));
    fill(conversation.view);
    conversation.shown();
    return;
  }
  const view = clone('nothing');
  [part(view, 'title').textContent, part(view, 'text').textContent] = [text('loading'), ''];
  fill(view);
  if (!chats.isLoaded) return; // `changed` comes back to it
  if (!group || notFound === group) {
    part(view, 'title').textContent = text('fault-not-found');
    return;
  }
  try {
    // One of more chats than are listed.
    chats.add(await salam.group(group));
    changed();
  } catch (error) {
    if (/** @type {any} */ (error).status) notFound = group;
    part(view, 'title').textContent = fault(error);
  }
}

/** @param {string} code */
function inviteView(code) {
  const view = clone('invite');
  const [offer, error, accept] = ['offer', 'error', 'accept'].map((name) => part(view, name));
  offer.textContent = text('loading');
  salam.offer(code).then((found) => {
    offer.textContent = offered(found);
    accept.hidden = false;
    accept.focus();
  }, (refused) => {
    offer.textContent = refused.code === 'not_found' ? text('invite-over') : '';
    if (refused.code !== 'not_found') error.textContent = fault(refused);
  });
  on(accept, 'click', () => busy(accept, async () => {
    try {
      const group = await salam.accept(code);
      room?.chats.add(group);
      if (!view.isConnected) return; // they went elsewhere meanwhile
      location.replace(`#/chat/${group.group}`);
    } catch (refused) {
      error.textContent = fault(refused);
    }
  }));
  return view;
}

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
        location.hash = `#/chat/${group}`; // it is listed by itself, or found by its address
      } catch (refused) {
        part(dialog, 'error').textContent = fault(refused);
      }
    });
  };
  dialog.showModal();
}

/** Another language, at the same place. */
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
  room?.end();
  [conversation, room] = [null, null];
  if (why === 'here') history.replaceState(null, '', location.pathname);
  show();
});
show();
