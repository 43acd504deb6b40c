/** What is on the wire of a lane: batches that have started, in order, until the sender hears that they arrived. @internal */

/** Messages sent in one turn. */
export class Batch {
  readonly turn: number;
  readonly madeAt: number;
  messages: Uint8Array[] = [];
  bytes = 0;
  /** When its first byte leaves. */
  startAt = 0;
  /** Packets that have to be sent again. */
  lost = 0;
  arrived = false;
  /** When the sender hears that it arrived. */
  ackAt = Infinity;
  event: { cancel(): void } | undefined;

  constructor(turn: number, madeAt: number) {
    this.turn = turn;
    this.madeAt = madeAt;
  }
}

export class Flight {
  /** In order: acknowledged up to `head`, delivered up to `next`. */
  readonly #batches: Batch[] = [];
  #head = 0;
  #next = 0;
  #bytes = 0;
  /** Some batch was delivered and its acknowledgement was not. */
  #unheard = false;

  /** Bytes that no acknowledgement has come for. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Some acknowledgement was lost: none that came later covers for it yet. */
  get unheard(): boolean {
    return this.#unheard;
  }

  /** When the oldest acknowledgement under way arrives; Infinity when there is none. */
  get nextAckAt(): number {
    return this.#head === this.#next ? Infinity : this.#batches[this.#head]!.ackAt;
  }

  add(batch: Batch): void {
    this.#batches.push(batch);
  }

  /** So many bytes of a batch that was added left. */
  sent(bytes: number): void {
    this.#bytes += bytes;
  }

  /** The next batch in order, if it has arrived. */
  deliver(): Batch | undefined {
    return this.#batches[this.#next]?.arrived === true ? this.#batches[this.#next++] : undefined;
  }

  /** Batches that may have to be sent again, among others. */
  *unacknowledged(): Generator<Batch> {
    for (let i = this.#head; i < this.#batches.length; i++) yield this.#batches[i]!;
  }

  /** The acknowledgement of a batch gets lost. */
  mute(): void {
    this.#unheard = true;
  }

  /** An acknowledgement comes at that time, and covers all that was delivered before. */
  heard(at: number): void {
    if (!this.#unheard) return;
    this.#unheard = false;
    for (let i = this.#head; i < this.#next; i++) {
      const batch = this.#batches[i]!;
      if (batch.ackAt === Infinity) batch.ackAt = at;
    }
  }

  /** Lets go of what is acknowledged by now. */
  acknowledged(now: number): void {
    while (this.#head < this.#next && this.#batches[this.#head]!.ackAt <= now)
      this.#bytes -= this.#batches[this.#head++]!.bytes;
    if (this.#head < 64 || this.#head * 2 < this.#batches.length) return;
    this.#batches.splice(0, this.#head);
    this.#next -= this.#head;
    this.#head = 0;
  }
}
