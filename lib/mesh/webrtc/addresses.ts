/** The addresses of this machine, and their changes: a laptop that takes another network. @internal */
import { networkInterfaces } from 'node:os';
import type { Environment, Timer } from '../../environment.js';

/** All addresses but loopback, in a fixed order; with `only`, that one if the machine has it. */
export function localAddresses(only?: string): string {
  const all = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  const mine = all.filter((one) => (only === undefined ? !one.internal : one.address === only));
  return mine
    .map((one) => `${one.address} ${one.scopeid ?? 0}`)
    .sort()
    .join(',');
}

/** Loopback is never a candidate by itself: a machine without any other interface would never connect. */
export function loopbackOnly(): string | undefined {
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  if (addresses.some((address) => !address.internal)) return undefined;
  return addresses.some((address) => address.family === 'IPv4') ? '127.0.0.1' : '::1';
}

/** Looks at the addresses now and then. */
export class AddressWatch {
  readonly #environment: Environment;
  readonly #intervalMs: number;
  readonly #read: () => string;
  readonly #onChange: () => void;
  #last: string;
  #timer: Timer | undefined;
  #closed = false;

  constructor(environment: Environment, intervalMs: number, read: () => string, onChange: () => void) {
    this.#environment = environment;
    this.#intervalMs = intervalMs;
    this.#read = read;
    this.#onChange = onChange;
    this.#last = read();
    this.#schedule();
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  #schedule(): void {
    this.#timer = this.#environment.setTimer(this.#intervalMs, () => {
      const now = this.#read();
      const changed = now !== this.#last;
      this.#last = now;
      if (changed) this.#onChange();
      if (!this.#closed) this.#schedule();
    });
  }
}
