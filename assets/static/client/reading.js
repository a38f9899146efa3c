// @ts-check

/**
 * @typedef {import('./types.js').Group} Group
 *
 * @typedef {object} Reader What somebody who reads needs.
 * @property {() => number} last the last event that was told
 * @property {(seq: number) => boolean} say tells the server, if there is a way
 * @property {(seq: number) => Promise<Group>} count tells the server, and asks how much is unread then
 * @property {() => void} changed
 */

/** How far one has read is said after this, for all that was read meanwhile. Milliseconds. */
const SAY_AFTER = 300;

/** How far you have read in one chat, on all of your devices, and how many messages of others come after that. */
export class Reading {
  #reader;
  /** Up to here the server has counted. */
  #countedTo = 0;
  #toSay = 0;
  /** Whether `unread` is a guess, since what was read was not the end. */
  #isGuess = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /** @param {Reader} reader */
  constructor(reader) {
    this.#reader = reader;
    this.seq = 0;
    this.unread = 0;
  }

  /** What the server says. @param {{ read: number, unread: number, head: number }} counted */
  told({ read, unread, head }) {
    [this.seq, this.unread, this.#countedTo, this.#isGuess] = [read, unread, head, false];
    // After a reset the log may be shorter. A place past its end belongs to the old log.
    if (this.#toSay > head) this.#toSay = 0;
    // What was read while there was no way to say so is read all the same.
    if (this.#toSay > read) this.to(this.#toSay);
  }

  /** A message of somebody else has come. @param {number} seq */
  came(seq) {
    if (seq > this.seq && seq > this.#countedTo) this.unread += 1;
  }

  /**
   * Reduces the count by a deleted message that was unread. The user's own messages are never unread.
   * @param {number} seq the event of the deletion
   * @param {number} message the seq of the deleted message
   */
  deleted(seq, message) {
    // The count of the server excludes the messages that were deleted up to `#countedTo`.
    if (message > this.seq && seq > this.#countedTo) this.unread = Math.max(0, this.unread - 1);
  }

  /** You have read so far, here. @param {number} seq */
  read(seq) {
    if (seq <= this.seq) return;
    this.#toSay = seq;
    this.#timer ??= setTimeout(() => this.say(), SAY_AFTER);
    this.to(seq);
  }

  /** You have read so far, wherever. @param {number} seq */
  to(seq) {
    if (seq <= this.seq) return;
    this.seq = seq;
    this.#isGuess = seq < Math.max(this.#reader.last(), this.#countedTo);
    if (!this.#isGuess) this.unread = 0;
    this.#reader.changed();
  }

  /** Says what was not said yet; what lies behind it, the server counts. */
  say() {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#isGuess) this.#count();
    else if (this.#toSay && this.#reader.say(this.#toSay)) this.#toSay = 0;
  }

  /** The last event that was told is this: whatever was missed was told. */
  live() {
    if (this.#isGuess && this.seq >= this.#reader.last()) [this.#isGuess, this.unread] = [false, 0];
    this.say();
  }

  end() { clearTimeout(this.#timer); }

  async #count() {
    const { seq } = this;
    const last = this.#reader.last();
    const group = await this.#reader.count(seq).catch(() => null);
    // What came meanwhile is counted anew when there is a next time.
    if (!group || this.seq !== seq || this.#reader.last() !== last) return;
    this.#toSay = 0;
    this.told(group);
    this.#reader.changed();
  }
}
