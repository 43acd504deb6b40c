/** Values as text: equal text only for values of equal content. @internal */

/** Deeper than this, or beyond so many parts, objects are told apart by identity: never wrong, at worst slow. */
const MAX_DEPTH = 256;
const MAX_PARTS = 200_000;
const MAX_HOLES = 1024;

const TypedArrayPrototype = Object.getPrototypeOf(Uint8Array.prototype) as object;

/**
 * Writes values as text that is self-delimiting, so no two different values share one. Nothing is guessed: what
 * may hide state (instances of classes with private fields, functions, accessors) counts as equal only to itself.
 */
export class Canonical {
  readonly #identities = new Map<unknown, number>();
  readonly #path: object[] = [];
  #ordered = false;
  #parts = 0;

  /** With `ordered` the order of properties, Map entries and Set members counts, without it does not. */
  text(value: unknown, ordered: boolean): string {
    this.#ordered = ordered;
    this.#parts = 0;
    return this.#write(value);
  }

  #write(value: unknown): string {
    switch (typeof value) {
      case 'string':
        return `s${value.length}:${value}`;
      case 'number':
        return Object.is(value, -0) ? 'n-0;' : `n${value};`;
      case 'bigint':
        return `i${value};`;
      case 'boolean':
        return value ? 't' : 'f';
      case 'undefined':
        return 'u';
      case 'object':
        return value === null ? 'z' : this.#writeObject(value);
      default:
        return this.#identity(value);
    }
  }

  #writeObject(value: object): string {
    const path = this.#path;
    if (path.length >= MAX_DEPTH || ++this.#parts > MAX_PARTS) return this.#identity(value);
    const ancestor = path.lastIndexOf(value);
    if (ancestor >= 0) return `^${path.length - ancestor};`;
    path.push(value);
    try {
      return this.#writeContent(value) ?? this.#identity(value);
    } finally {
      path.pop();
    }
  }

  /** `undefined` if the content may not be all there is to see. */
  #writeContent(value: object): string | undefined {
    const prototype = Object.getPrototypeOf(value) as unknown;
    if (prototype === Object.prototype || prototype === null) return this.#writePlain(value, prototype);
    if (prototype === Array.prototype) return this.#writeArray(value as unknown[]);
    if (ArrayBuffer.isView(value)) return writeBytes(value);
    if (Reflect.ownKeys(value).length > 0) return undefined;
    if (prototype === Map.prototype) {
      const pairs = mapEntries(value);
      return pairs && this.#join('M', pairs, ([key, item]) => this.#write(key) + this.#write(item));
    }
    if (prototype === Set.prototype) {
      const members = setMembers(value);
      return members && this.#join('S', members, (item) => this.#write(item));
    }
    if (prototype === Date.prototype) {
      const time = dateTime(value);
      return time === undefined ? undefined : `d${time};`;
    }
    return undefined;
  }

  #writePlain(value: object, prototype: unknown): string | undefined {
    const keys = Reflect.ownKeys(value);
    if (!this.#ordered) keys.sort((a, b) => compare(this.#write(a), this.#write(b)));
    let text = prototype === null ? `N${keys.length}:` : `O${keys.length}:`;
    for (const key of keys) {
      const property = Reflect.getOwnPropertyDescriptor(value, key)!;
      if (!('value' in property)) return undefined;
      text += property.enumerable === true ? '' : '!';
      text += this.#write(key) + this.#write(property.value);
    }
    return text;
  }

  #writeArray(value: unknown[]): string | undefined {
    const length = value.length;
    let text = `A${length}:`;
    let items = 0;
    for (let i = 0; i < length; i++) {
      if (!Object.hasOwn(value, i)) {
        // A sparse array may be long and hold little.
        if (i - items >= MAX_HOLES) return undefined;
        text += 'h';
        continue;
      }
      items++;
      text += this.#write(value[i]);
    }
    return Reflect.ownKeys(value).length === items + 1 ? text : undefined;
  }

  #join<T>(tag: string, items: readonly T[], write: (item: T) => string): string {
    const texts = items.map(write);
    if (!this.#ordered) texts.sort();
    return `${tag}${texts.length}:${texts.join('')}`;
  }

  #identity(value: unknown): string {
    let id = this.#identities.get(value);
    if (id === undefined) this.#identities.set(value, (id = this.#identities.size));
    return `@${id};`;
  }
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

// An object may have the prototype without being one: the built-in methods throw then.
function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

function mapEntries(value: object): [unknown, unknown][] | undefined {
  return attempt(() => [...(Map.prototype.entries.call(value) as MapIterator<[unknown, unknown]>)]);
}

function setMembers(value: object): unknown[] | undefined {
  return attempt(() => [...(Set.prototype.values.call(value) as SetIterator<unknown>)]);
}

function dateTime(value: object): number | undefined {
  return attempt(() => Date.prototype.getTime.call(value));
}

/** Byte arrays of the built-in kinds that carry no further property; a Buffer is not the same as a Uint8Array. */
function writeBytes(view: ArrayBufferView): string | undefined {
  const prototype = Object.getPrototypeOf(view) as object;
  const builtIn =
    prototype === Buffer.prototype ||
    (Object.getPrototypeOf(prototype) === TypedArrayPrototype &&
      Object.hasOwn(prototype, 'BYTES_PER_ELEMENT'));
  const length = (view as Partial<Uint8Array>).length;
  if (!builtIn || length === undefined || Object.keys(view).length !== length) return undefined;
  const kind = prototype === Buffer.prototype ? 'Buffer' : (view as Uint8Array)[Symbol.toStringTag];
  const text = Buffer.from(view.buffer, view.byteOffset, view.byteLength).toString('latin1');
  return `B${kind}:${text.length}:${text}`;
}
