/** Sessions that are over, so that late packets and repeated openings find no new one. The oldest are forgotten. @internal */

const maxSessions = 256;

export class EndedSessions {
  /** With the sealed packet that says so, if this end decided it. */
  readonly #sessions = new Map<string, Uint8Array | undefined>();

  add(session: string, farewell: Uint8Array | undefined): void {
    this.#sessions.set(session, farewell);
    if (this.#sessions.size <= maxSessions) return;
    const [oldest] = this.#sessions.keys();
    this.#sessions.delete(oldest!);
  }

  has(session: string): boolean {
    return this.#sessions.has(session);
  }

  farewellOf(session: string): Uint8Array | undefined {
    return this.#sessions.get(session);
  }

  clear(): void {
    this.#sessions.clear();
  }
}
