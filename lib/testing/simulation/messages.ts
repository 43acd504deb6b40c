/** Loses, doubles and delays messages on their way into a core. */
import { checkNumber } from '../../errors.js';
import type { Random } from './random.js';
import type { MessageSettings } from './settings.js';
import type { MessageFate } from './watch/coreWatch.js';

export class MessageFaults implements MessageFate {
  readonly counts = { lost: 0, duplicated: 0, reordered: 0 };
  readonly #random: Random;
  #settings: Required<MessageSettings>;

  constructor(settings: Required<MessageSettings>, random: Random) {
    this.#settings = settings;
    this.#random = random.stream('messages');
  }

  change(settings: MessageSettings): void {
    const merged = { ...this.#settings, ...settings };
    for (const name of ['lossRate', 'duplicateRate', 'reorderRate'] as const)
      checkNumber(`messages.${name}`, merged[name], 0, 1, false);
    checkNumber('messages.delayMs', merged.delayMs, 0, 60_000, false);
    this.#settings = merged;
  }

  fate(): readonly number[] | undefined {
    const { lossRate, duplicateRate, reorderRate, delayMs } = this.#settings;
    if (this.#random.chance(lossRate)) {
      this.counts.lost++;
      return [];
    }
    const late = this.#random.chance(reorderRate);
    const twice = this.#random.chance(duplicateRate);
    if (!late && !twice) return undefined;
    const times = [late ? this.#random.exponential(delayMs) : 0];
    if (late) this.counts.reordered++;
    if (twice) {
      this.counts.duplicated++;
      times.push(this.#random.exponential(delayMs));
    }
    return times;
  }
}
