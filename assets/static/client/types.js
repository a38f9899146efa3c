// @ts-check
/** The shapes of what travels. No code: browsers never load this. */

/**
 * @typedef {import('./error.js').SalamError} SalamError
 */

/**
 * @typedef {{ id: number, username: string, name: string }} User
 * @typedef {'owner' | 'admin' | 'member'} Role
 *
 * @typedef {object} ChatEvent Something that happened in a chat, as it is told by the server.
 * @property {'event'} type
 * @property {string} group
 * @property {number} seq its place in the log, 1, 2, 3 … without a gap
 * @property {string} at RFC 3339, UTC
 * @property {string | null} by a username
 * @property {string} kind such as `message.created`; ignore what you do not know
 * @property {string} [cid]
 * @property {any} data what is in it depends on the kind
 *
 * @typedef {object} Reset Too much was missed to be told: load what you show anew, as of `head`.
 * @property {'reset'} type
 * @property {string} group
 * @property {'too_far' | 'ahead' | 'epoch'} reason
 * @property {number} head
 *
 * @typedef {object} Message A message as it is now.
 * @property {number} seq
 * @property {string} at
 * @property {string | null} by
 * @property {boolean | null} [by_active] whether the account of the author is active; null without an author
 * @property {string | null} text null when it was deleted
 * @property {number | null} reply_to
 * @property {string | null} edited_at
 * @property {boolean} deleted
 * @property {string | null} cid
 * @property {Reaction[]} reactions
 *
 * @typedef {object} Reaction An emoji under a message.
 * @property {string} emoji
 * @property {number} count members that reacted with it
 * @property {boolean} mine whether you reacted with it
 * @property {string[]} by at most 10 of their usernames; the member that reacted first comes first
 *
 * @typedef {object} MessagePage A page of messages, and of notes on request.
 * @property {Message[]} results the newest first
 * @property {ChatEvent[]} [notes] other events between the messages, such as `member.joined`; the newest first
 * @property {number} [first] with notes: the page has each message and note from this seq on; the next older
 *   page is `before: first`
 * @property {number} position the seq of the last event that the messages of this page include
 * @property {boolean} has_more
 *
 * @typedef {object} Group A group as you see it.
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
 * @typedef {{ id: number, code: string, url: string, expires_at: string, max_uses: number | null, uses: number }} NewInvite
 * @typedef {{ id: number, created_by: string, created_at: string, expires_at: string, max_uses: number | null, uses: number }} Invite
 * @typedef {{ title: string | null, invited_by: { username: string, name: string }, expires_at: string }} Offer
 * @typedef {{ id: string, created_at: string, last_used_at: string, expires_at: string, user_agent: string | null, current: boolean }} Session
 *
 * @typedef {object} Pending A message of yours that is not in the log yet.
 * @property {string} cid
 * @property {string} text
 * @property {number | null} replyTo
 * @property {number} at milliseconds, by the clock of this device
 * @property {'waiting' | 'sending' | 'stored' | 'failed'} state `failed` is final: `retry` or `discard` it
 * @property {SalamError | null} error
 * @property {number} [seq] once it is stored
 *
 * @typedef {{ seq: number, at: string, dup: boolean }} Stored What was done, and whether it had been before.
 *
 * @typedef {object} State What a connection is doing.
 * @property {'idle' | 'connecting' | 'catching-up' | 'live' | 'waiting' | 'over'} name `over` is final until `retry`
 * @property {number} missing while it catches up: events that are still to come
 * @property {number} retryAt while it waits: when it tries again, in milliseconds of `Date.now()`
 * @property {number} code the close code for which it waits or is over; 1006 where there was none
 * @property {boolean} blocked whether the server answers HTTP requests, and WebSocket handshakes still fail:
 *   a proxy in between probably does not pass them
 * @property {SalamError | null} error why no socket could be created, when the state is `over` with the code 0
 */

export {};
