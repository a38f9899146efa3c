// @ts-check
/**
 * Salam in a browser, in a worker, or in any runtime that has `fetch`. No dependencies, no build:
 *
 *     import { Salam } from '/static/salam.js';
 *
 *     const salam = new Salam();
 *     await salam.login({ username: 'ann', password: 'a staple of batteries' });
 *     const chat = salam.connect().join('chat_a1b2c3d4', { after: 0 });
 *     chat.on('event', (event) => console.log(event.seq, event.by, event.data.text));
 *     const { seq } = await chat.send('hi'); // the server has stored the message
 *
 * One socket serves all chats. A chat is a log: its events arrive exactly once and in order, even when the socket,
 * the server or the network fails. A sent message is repeated until the server answers, and stored exactly once.
 *
 * A runtime without a `WebSocket` class, such as Node.js 20, needs the class of a package such as `ws`:
 * `new Salam({ base: 'https://chat.example', WebSocket })`. `salam.dispose()` closes the connection, and removes all
 * listeners and timers.
 *
 * docs/protocol.md describes the protocol and the states of the connection.
 *
 * @module salam
 */

export { Salam } from './client/api.js';
export { Connection } from './client/connection.js';
export { Chat } from './client/chat.js';
export { SalamError } from './client/error.js';
export { path } from './client/path.js';

/**
 * @typedef {import('./client/types.js').User} User
 * @typedef {import('./client/types.js').Role} Role
 * @typedef {import('./client/types.js').ChatEvent} ChatEvent
 * @typedef {import('./client/types.js').Reset} Reset
 * @typedef {import('./client/types.js').Message} Message
 * @typedef {import('./client/types.js').MessagePage} MessagePage
 * @typedef {import('./client/types.js').Reaction} Reaction
 * @typedef {import('./client/types.js').Group} Group
 * @typedef {import('./client/types.js').Member} Member
 * @typedef {import('./client/types.js').Ban} Ban
 * @typedef {import('./client/types.js').NewInvite} NewInvite
 * @typedef {import('./client/types.js').Invite} Invite
 * @typedef {import('./client/types.js').Offer} Offer
 * @typedef {import('./client/types.js').Session} Session
 * @typedef {import('./client/types.js').Pending} Pending
 * @typedef {import('./client/types.js').Stored} Stored
 * @typedef {import('./client/types.js').State} State
 * @typedef {import('./client/session.js').CallOptions} CallOptions
 */
