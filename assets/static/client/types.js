// @ts-check
/** The types of the data on the wire. This file has no code: browsers never load it. */

/**
 * @typedef {import('./error.js').SalamError} SalamError
 */

/**
 * @typedef {{ id: number, username: string, name: string }} User
 * @typedef {'owner' | 'admin' | 'member'} Role
 *
 * @typedef {object} ChatEvent An event of the log of a group.
 * @property {'event'} type
 * @property {string} group
 * @property {number} seq its number in the log: 1, 2, 3 … without a gap
 * @property {string} at RFC 3339, UTC
 * @property {string | null} by a username
 * @property {string} kind such as `message.created`; ignore unknown kinds
 * @property {string} [cid]
 * @property {any} data its fields depend on the kind
 *
 * @typedef {object} Reset The missed events cannot be replayed: reload what you show, up to `head`.
 * @property {'reset'} type
 * @property {string} group
 * @property {'too_far' | 'ahead' | 'epoch'} reason
 * @property {number} head
 *
 * @typedef {object} Message A message in its current state.
 * @property {number} seq
 * @property {string} at
 * @property {string | null} by
 * @property {boolean | null} [by_active] whether the account of the author is active; null without an author
 * @property {string | null} text null if the message was deleted
 * @property {number | null} reply_to
 * @property {string | null} edited_at
 * @property {boolean} deleted
 * @property {string | null} cid
 * @property {Reaction[]} reactions
 *
 * @typedef {object} Reaction An emoji under a message.
 * @property {string} emoji
 * @property {number} count members that reacted with it
 * @property {boolean} mine whether the user reacted with it
 * @property {string[]} by at most 10 of their usernames; the member that reacted first comes first
 *
 * @typedef {object} MessagePage A page of messages, with notes on request.
 * @property {Message[]} results the newest first
 * @property {ChatEvent[]} [notes] other events between the messages, such as `member.joined`; the newest first
 * @property {number} [first] with notes: the page has each message and note from this seq on; the next older
 *   page is `before: first`
 * @property {number} position the seq of the last event that the messages of this page include
 * @property {boolean} has_more
 *
 * @typedef {object} Group A group, for one of its members.
 * @property {string} group
 * @property {string | null} title
 * @property {Role} role
 * @property {number} head
 * @property {number} read
 * @property {number} unread
 * @property {Message | null} last_message
 * @property {string} created_at
 * @property {string} joined_at
 * @property {number} member_count 1000 stands for 1000 or more
 * @property {{ username: string, name: string }[]} others at most 4 other members; the member that joined first
 *   comes first
 *
 * @typedef {object} Member
 * @property {string} username
 * @property {string} name
 * @property {Role} role
 * @property {boolean} [active] whether the account is active; a deactivated member cannot log in, and cannot become
 *   an admin or the owner
 * @property {string} joined_at
 *
 * @typedef {{ username: string, name: string, banned_by: string | null, banned_at: string }} Ban
 * @typedef {{ id: number, code: string, url: string, api_url: string, expires_at: string, max_uses: number | null, uses: number }} NewInvite
 * @typedef {{ id: number, created_by: string, created_at: string, expires_at: string, max_uses: number | null, uses: number }} Invite
 * @typedef {{ title: string | null, invited_by: { username: string, name: string }, expires_at: string }} Offer
 * @typedef {{ id: string, created_at: string, last_used_at: string, expires_at: string, user_agent: string | null, current: boolean }} Session
 *
 * @typedef {object} Pending A message of the user that is not in the log yet.
 * @property {string} cid
 * @property {string} text
 * @property {number | null} replyTo
 * @property {number} at milliseconds, by the clock of this device
 * @property {'waiting' | 'sending' | 'stored' | 'failed'} state `failed` is final: `retry` or `discard` it
 * @property {SalamError | null} error
 * @property {number} [seq] set when the message is stored
 *
 * @typedef {{ seq: number, at: string, dup: boolean }} Stored The event of a command. With `dup`, an earlier request
 *   with the same `cid` stored it.
 *
 * @typedef {object} State The state of a connection.
 * @property {'idle' | 'connecting' | 'catching-up' | 'live' | 'waiting' | 'over'} name `over` is final until `retry`
 * @property {number} missing in the state `catching-up`: the number of missed events that have not arrived yet
 * @property {number} retryAt in the state `waiting`: the time of the next attempt, in milliseconds of `Date.now()`
 * @property {number} code in the states `waiting` and `over`: the close code; 1006 without one
 * @property {boolean} blocked whether the server answers HTTP requests while WebSocket handshakes fail: a proxy in
 *   between probably does not support WebSockets
 * @property {SalamError | null} error the reason why no socket could be created, in the state `over` with the code 0
 */

export {};
