/**
 * What a factory of this library was called with, so that what it made can be made again in another thread: functions and objects
 * with a life of their own do not cross, descriptions do.
 *
 * @internal
 */
import { configError } from './errors.js';

/** How to make something again. Whatever has the same number is the same thing. */
export interface Description {
  readonly maker: string;
  readonly number: number;
  readonly args: readonly Plain[];
}

/** An argument as data: what it is stands beside it, so that nothing a user writes is taken for a description. */
export type Plain =
  | { readonly type: 'value'; readonly value: unknown }
  | { readonly type: 'list'; readonly items: readonly Plain[] }
  | { readonly type: 'record'; readonly entries: readonly (readonly [name: string, value: Plain])[] }
  | { readonly type: 'made'; readonly description: Description };

interface Made {
  readonly maker: string;
  readonly number: number;
  readonly args: readonly unknown[];
}

const known = new WeakMap<object, Made>();
let numbers = 0;

/** Notes how `made` was made, and returns it. */
export function described<T extends object>(made: T, maker: string, args: readonly unknown[]): T {
  known.set(made, { maker, number: ++numbers, args });
  return made;
}

/**
 * The description of what a factory of this library made. Throws ERR_CONFIG, naming the option, for anything else: an object of
 * the user's own, a function.
 */
export function describe(option: string, value: object): Description {
  const found = known.get(value);
  if (found === undefined) throw refusal(option, value, 'made by a factory of this library');
  const { maker, number, args } = found;
  return { maker, number, args: args.map((arg) => plain(option, arg)) };
}

function plain(option: string, value: unknown): Plain {
  if (typeof value === 'function') throw refusal(option, value, 'free of functions');
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array)
    return { type: 'value', value };
  if (known.has(value)) return { type: 'made', description: describe(option, value) };
  if (Array.isArray(value))
    return { type: 'list', items: value.map((one, at) => plain(`${option}[${at}]`, one)) };
  const prototype: unknown = Object.getPrototypeOf(value);
  const live = Object.values(value).some((one) => typeof one === 'function');
  if (live || (prototype !== Object.prototype && prototype !== null))
    throw refusal(option, value, 'made by a factory of this library');
  return {
    type: 'record',
    entries: Object.entries(value).map(([name, one]) => [name, plain(`${option}.${name}`, one)] as const),
  };
}

function refusal(option: string, value: unknown, expected: string): Error {
  return configError(option, value, `${expected} where the mesh has thread: 'worker'`);
}

/** Makes things from their descriptions: the same one from the same number, until it is forgotten. */
export class Remaker {
  readonly #makers: ReadonlyMap<string, (...args: never[]) => object>;
  readonly #made = new Map<number, object>();

  constructor(makers: Readonly<Record<string, (...args: never[]) => object>>) {
    this.#makers = new Map(Object.entries(makers));
  }

  make<T extends object>({ maker, number, args }: Description): T {
    let made = this.#made.get(number);
    if (made === undefined) {
      const make = this.#makers.get(maker);
      if (make === undefined) throw configError('maker', maker, 'one of this library');
      made = make(...(args.map((arg) => this.#live(arg)) as never[]));
      this.#made.set(number, made);
    }
    return made as T;
  }

  get(number: number): object | undefined {
    return this.#made.get(number);
  }

  #live(plain: Plain): unknown {
    switch (plain.type) {
      case 'value':
        return plain.value;
      case 'list':
        return plain.items.map((one) => this.#live(one));
      case 'record':
        return Object.fromEntries(plain.entries.map(([name, one]) => [name, this.#live(one)]));
      case 'made':
        return this.make(plain.description);
    }
  }

  /** Forgets everything. */
  clear(): void {
    this.#made.clear();
  }
}
