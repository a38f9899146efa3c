// @ts-check

/**
 * @typedef {import('./types.js').Group} Group
 *
 * @typedef {object} ReadingContext The functions of the chat that a read position needs.
 * @property {() => number} lastSeq returns the seq of the last applied event
 * @property {(seq: number) => boolean} sendRead sends the position by the socket; false if the socket is not open
 * @property {(seq: number) => Promise<Group>} markRead sends the position by the API, and returns the unread count
 * @property {() => void} changed
 */

/** Milliseconds after which the client sends the position, so that one frame serves many messages. */
const SEND_DELAY = 300;

/** The user's read position in one chat, on all devices, and the number of later messages of other members. */
export class Reading {
  #context;
  /** The head up to which the count of the server includes messages. */
  #countedTo = 0;
  /** A position that was not sent yet; 0 without one. */
  #unsent = 0;
  /** Whether `unread` is an estimate, because the position is not at the end of the log. */
  #isEstimate = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /** @param {ReadingContext} context */
  constructor(context) {
    this.#context = context;
    this.seq = 0;
    this.unread = 0;
  }

  /** Takes the position and the count of the server. @param {{ read: number, unread: number, head: number }} counted */
  update({ read, unread, head }) {
    [this.seq, this.unread, this.#countedTo, this.#isEstimate] = [read, unread, head, false];
    // After a reset the log may be shorter. A position after its head belongs to the old log.
    if (this.#unsent > head) this.#unsent = 0;
    // A position that was read without a socket is not sent yet, and is still valid.
    if (this.#unsent > read) this.moveTo(this.#unsent);
  }

  /** Counts a new message of another member. @param {number} seq */
  onMessage(seq) {
    if (seq > this.seq && seq > this.#countedTo) this.unread += 1;
  }

  /**
   * Reduces the count by a deleted message that was unread. The user's own messages are never unread.
   * @param {number} seq the event of the deletion
   * @param {number} message the seq of the deleted message
   */
  onDeletion(seq, message) {
    // The count of the server excludes the messages that were deleted up to `#countedTo`.
    if (message > this.seq && seq > this.#countedTo) this.unread = Math.max(0, this.unread - 1);
  }

  /** Moves the position on this device, and sends it. @param {number} seq */
  read(seq) {
    if (seq <= this.seq) return;
    this.#unsent = seq;
    this.#timer ??= setTimeout(() => this.send(), SEND_DELAY);
    this.moveTo(seq);
  }

  /** Moves the position, read on any device. @param {number} seq */
  moveTo(seq) {
    if (seq <= this.seq) return;
    this.seq = seq;
    this.#isEstimate = seq < Math.max(this.#context.lastSeq(), this.#countedTo);
    if (!this.#isEstimate) this.unread = 0;
    this.#context.changed();
  }

  /** Sends a position that was not sent yet. If the count is an estimate, requests the count of the server. */
  send() {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#isEstimate) this.#requestCount();
    else if (this.#unsent && this.#context.sendRead(this.#unsent)) this.#unsent = 0;
  }

  /** Is called when the chat has received all events that it missed. */
  onLive() {
    if (this.#isEstimate && this.seq >= this.#context.lastSeq()) [this.#isEstimate, this.unread] = [false, 0];
    this.send();
  }

  /** Stops the timer. */
  end() { clearTimeout(this.#timer); }

  /** Sends the position by the API, and takes the count of the server. */
  async #requestCount() {
    const { seq } = this;
    const last = this.#context.lastSeq();
    const group = await this.#context.markRead(seq).catch(() => null);
    // If the position or the log has moved in between, the count is outdated. The next call requests it again.
    if (!group || this.seq !== seq || this.#context.lastSeq() !== last) return;
    this.#unsent = 0;
    this.update(group);
    this.#context.changed();
  }
}
