// @ts-check
/**
 * The extension point of the page for an application's own kinds of events.
 *
 * A kind that is registered here appears as a note between the messages, like a new member:
 *
 *     eventNotes.set('survey.created', ({ data }, actor) => `${actor} asks: ${data.question}`);
 *
 * Events of other kinds do not appear. `chat.on('event', …)` of the client reports all kinds.
 */

/**
 * The text of a note: the function gets the event, and the display name of the user who caused it.
 * @typedef {(event: { kind: string, by: string | null, data: any }, actor: string) => string} EventNote
 */

/** The registered kinds. @type {Map<string, EventNote>} */
export const eventNotes = new Map();
