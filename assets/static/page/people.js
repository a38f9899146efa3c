// @ts-check
/** The dialog of a chat's members, invites and bans. */

import { ask, avatar, busy, button, byId, clone, part } from './dom.js';
import { errorText } from './errors.js';
import { fromNow, handle, plain, text } from './texts.js';

/**
 * @typedef {import('../salam.js').Salam} Salam
 * @typedef {import('../salam.js').Chat} Chat
 * @typedef {import('../salam.js').Member} Member
 */

const ROLES = { owner: 'role-owner', admin: 'role-admin', member: 'role-member' };

/** The dialog for one chat. */
export class People {
  #salam;
  #chat;
  #titleOf;
  #dialog = /** @type {HTMLDialogElement & import('./dom.js').Part} */ (byId('people'));
  #isOpen = false;
  /** Increases each time the dialog is opened. A response for an earlier number is ignored. */
  #opened = 0;
  /** @type {string | undefined} */
  #cursor;
  /** @type {(() => void)[]} */
  #unlisten;

  /**
   * @param {Salam} salam
   * @param {Chat} chat
   * @param {() => string} titleOf
   */
  constructor(salam, chat, titleOf) {
    this.#salam = salam;
    this.#chat = chat;
    this.#titleOf = titleOf;
    const again = () => { if (this.#isOpen) this.#load(); };
    this.#unlisten = [
      chat.on('event', ({ kind, data }) => {
        // For a removed member, the server answers 404.
        const isOut = kind === 'member.left' && data.user === salam.user?.username;
        if (kind.startsWith('member.') && !isOut) again();
      }),
      chat.on('presence', () => { if (this.#isOpen) this.#showPresence(); }),
    ];
  }

  get #group() { return this.#chat.group; }

  get #isAdmin() { return this.#chat.role !== 'member'; }

  /** @param {string} name */
  #part(name) { return part(this.#dialog, name); }

  /** Opens the dialog, and loads its lists. */
  open() {
    this.#isOpen = true;
    this.#opened += 1;
    this.#bind();
    this.#part('error').textContent = '';
    this.#part('made').hidden = true;
    this.#part('rename').elements.title.value = this.#chat.title ?? '';
    for (const list of ['members', 'invites', 'bans']) this.#part(list).replaceChildren();
    this.#part('members-title').textContent = text('members');
    this.#dialog.showModal();
    this.#load();
  }

  /** Removes the listeners, and closes the dialog. */
  close() {
    this.#unlisten.forEach((end) => end());
    if (this.#isOpen) this.#dialog.close();
  }

  /** Connects the buttons. All chats share one dialog. */
  #bind() {
    const acts = /** @type {Record<string, () => unknown>} */ ({
      close: () => this.#dialog.close(), copy: () => this.#copy(), more: () => this.#members(),
      leave: () => this.#leave(), delete: () => this.#delete(),
    });
    // Only an owner cannot leave: the chat would have no owner.
    const ids = { conflict: 'error-owner-leaves' };
    for (const [name, act] of Object.entries(acts)) this.#part(name).onclick = () => busy(this.#part(name), () => this.#try(act, ids));
    this.#part('rename').onsubmit = (event) => { event.preventDefault(); this.#try(() => this.#rename()); };
    this.#part('invite-form').onsubmit = (event) => { event.preventDefault(); this.#try(() => this.#invite()); };
    this.#dialog.onclose = () => { this.#isOpen = false; };
    this.#dialog.onclick = (event) => { if (event.target === this.#dialog) this.#dialog.close(); };
  }

  /**
   * Runs an action, and shows its error.
   * @param {() => unknown} act
   * @param {Record<string, string>} [ids] see `errorText`
   */
  async #try(act, ids) {
    const opened = this.#opened;
    this.#part('error').textContent = '';
    try {
      await act();
    } catch (error) {
      if (this.#isLate(opened)) return;
      this.#showError(errorText(error, ids));
    }
    // The action may have removed the button that had the focus.
    if (!this.#isLate(opened) && document.activeElement === document.body) this.#part('close').focus();
  }

  /** Shows an error, and scrolls to it. @param {string} words */
  #showError(words) {
    this.#part('error').textContent = words;
    this.#part('error').scrollIntoView({ block: 'nearest' });
  }

  /** Returns true if the dialog was closed, or opened again. @param {number} opened */
  #isLate(opened) { return opened !== this.#opened || !this.#isOpen; }

  #load() {
    this.#part('rename').hidden = this.#part('inviting').hidden = !this.#isAdmin;
    this.#part('delete').hidden = this.#chat.role !== 'owner';
    this.#cursor = undefined;
    return this.#try(() => Promise.all([this.#members(), ...(this.#isAdmin ? [this.#invites(), this.#bans()] : [])]));
  }

  /** Loads and shows a page of members. */
  async #members() {
    const [cursor, opened] = [this.#cursor, this.#opened];
    const { results, next } = await this.#salam.members(this.#group, { limit: 100, cursor });
    if (this.#isLate(opened)) return;
    const focused = /** @type {HTMLElement | null} */ (document.activeElement?.closest('[data-username]'))?.dataset.username;
    const rows = results.map((member) => this.#member(member));
    if (cursor) this.#part('members').append(...rows);
    else this.#part('members').replaceChildren(...rows);
    this.#cursor = next ?? undefined;
    this.#part('more').hidden = !next;
    this.#showPresence();
    // The row that had the focus before an action gets it again.
    if (focused !== undefined) rows.find((row) => row.dataset.username === focused)?.focus();
  }

  /** Returns the row of a member. @param {Member} member */
  #member(member) {
    const { username, name, role, active: isActive = true } = member;
    const row = clone('row');
    row.dataset.username = username;
    row.tabIndex = -1;
    avatar(part(row, 'avatar'), username, plain(name));
    part(row, 'name').textContent = plain(name);
    part(row, 'inactive').hidden = isActive;
    const isMe = username === this.#salam.user?.username;
    part(row, 'detail').textContent = [handle(username), text(ROLES[role]), ...(isMe ? [text('you')] : [])].join(' · ');
    if (!isMe) part(row, 'actions').append(...this.#actions(member));
    return row;
  }

  /** Returns the buttons for the actions that the user's role permits. @param {Member} member */
  #actions({ username, name, role, active: isActive = true }) {
    const mine = this.#chat.role;
    const act = (/** @type {string} */ label, /** @type {() => Promise<unknown>} */ action) => {
      // Only a new role for a deactivated member is a conflict.
      const run = () => this.#try(async () => { await action(); await this.#load(); }, { conflict: 'error-deactivated' });
      const element = button(label, run);
      element.ariaLabel = `${label}: ${plain(name)}`;
      return element;
    };
    // The button of the question has the verb of the action.
    /** @type {(verb: string, title: string, question: string, action: () => Promise<unknown>) => HTMLElement} */
    const confirmed = (verb, title, question, action) => act(verb, async () => {
      if (await ask({ title, text: question, yes: verb })) await action();
    });
    const actions = [];
    if (mine === 'owner') {
      const other = role === 'admin' ? 'member' : 'admin';
      const toOther = act(text(other === 'admin' ? 'make-admin' : 'make-member'), () => this.#salam.setRole(this.#group, username, other));
      const toOwner = confirmed(text('make-owner'), text('confirm-owner-title', { name }), text('confirm-owner'), () => this.#salam.setRole(this.#group, username, 'owner'));
      // The server rejects a higher role for a deactivated member.
      if (isActive) actions.push(toOther, toOwner);
      else if (other === 'member') actions.push(toOther);
    }
    if (mine === 'owner' || (mine === 'admin' && role === 'member')) {
      actions.push(confirmed(text('remove'), text('confirm-remove-title', { name }), text('confirm-remove'), () => this.#salam.kick(this.#group, username)));
      actions.push(confirmed(text('ban'), text('confirm-ban-title', { name }), text('confirm-ban'), () => this.#salam.kick(this.#group, username, { ban: true })));
    }
    return actions;
  }

  #showPresence() {
    for (const row of this.#part('members').children) {
      const { username = '' } = /** @type {HTMLElement} */ (row).dataset;
      row.classList.toggle('online', this.#chat.online?.has(username) ?? false);
    }
  }

  async #rename() {
    const title = this.#part('rename').elements.title.value.trim();
    await this.#salam.rename(this.#group, title || null);
  }

  async #invite() {
    const uses = this.#part('invite-form').elements.uses.value;
    const opened = this.#opened;
    const { code } = await this.#salam.invite(this.#group, uses ? { max_uses: Number(uses) } : {});
    if (this.#isLate(opened)) return;
    // The code is in the fragment, because a browser does not send the fragment to a server.
    this.#part('invite-link').value = `${location.origin}/#/invite/${code}`;
    this.#part('made').hidden = false;
    this.#part('invite-link').focus();
    this.#part('invite-link').select();
    await this.#invites();
  }

  async #copy() {
    const field = this.#part('invite-link');
    field.select();
    try {
      // Without https, only the older function works.
      if (navigator.clipboard) await navigator.clipboard.writeText(field.value);
      else document.execCommand('copy');
    } catch {
      return this.#showError(text('copy-failed'));
    }
    this.#part('copy').textContent = text('copied');
    setTimeout(() => { this.#part('copy').textContent = text('copy'); }, 2000);
  }

  /** Loads and shows the invites. */
  async #invites() {
    const opened = this.#opened;
    const { results } = await this.#salam.invites(this.#group, { limit: 100 });
    if (this.#isLate(opened)) return;
    this.#part('invites').replaceChildren(...results.map((invite) => {
      const row = clone('row');
      part(row, 'avatar').remove();
      const left = invite.max_uses === null ? text('used', { count: invite.uses }) : text('uses-left', { count: invite.max_uses - invite.uses });
      part(row, 'name').textContent = text('invite-by', { name: `@${invite.created_by}` });
      part(row, 'detail').textContent = `${left} · ${text('expires', { when: fromNow(new Date(invite.expires_at)) })}`;
      const revoke = async () => { await this.#salam.withdrawInvite(this.#group, invite.id); await this.#invites(); };
      part(row, 'actions').append(button(text('revoke'), () => this.#try(revoke)));
      return row;
    }));
  }

  /** Loads and shows the bans. */
  async #bans() {
    const opened = this.#opened;
    const { results } = await this.#salam.bans(this.#group, { limit: 100 });
    if (this.#isLate(opened)) return;
    this.#part('banned').hidden = results.length === 0;
    this.#part('bans').replaceChildren(...results.map(({ username, name }) => {
      const row = clone('row');
      avatar(part(row, 'avatar'), username, plain(name));
      part(row, 'name').textContent = plain(name);
      part(row, 'detail').textContent = handle(username);
      const lift = async () => { await this.#salam.liftBan(this.#group, username); await this.#bans(); };
      part(row, 'actions').append(button(text('unban'), () => this.#try(lift)));
      return row;
    }));
  }

  async #leave() {
    const isSure = await ask({ title: text('confirm-leave-title', { title: this.#titleOf() }), text: text('confirm-leave'), yes: text('leave') });
    if (isSure) await this.#salam.leave(this.#group);
  }

  async #delete() {
    const isSure = await ask({ title: text('confirm-delete-title', { title: this.#titleOf() }), text: text('confirm-delete'), yes: text('delete') });
    if (isSure) await this.#salam.deleteGroup(this.#group);
  }
}

