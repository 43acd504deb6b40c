/** Writes under way: who closes waits for them. @internal */
export class Flushes {
  #underWay = 0;
  #whenDone: (() => void) | undefined;

  get pending(): boolean {
    return this.#underWay > 0;
  }

  begin(): void {
    this.#underWay++;
  }

  end(): void {
    if (--this.#underWay === 0) this.#whenDone?.();
  }

  /** Resolves when the last one under way ends. */
  done(): Promise<void> {
    return new Promise((resolve) => {
      this.#whenDone = resolve;
    });
  }
}
