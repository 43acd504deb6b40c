/** Files and directories by name: as they are now, and as the medium has them. */
import { Content } from './content.js';
import { LastWrites } from './atlas.js';

/** @internal */
export class File {
  readonly content = new Content();
  readonly lastWrites = new LastWrites();
  /** The name it has, or had. */
  path: string;
  /** For the trace. */
  label: string;
  /** Whether it has a name. */
  linked = true;
  /** Open handles. */
  handles = 0;

  constructor(path: string) {
    this.path = path;
    this.label = labelOf(path);
  }

  named(path: string): void {
    this.path = path;
    this.label = labelOf(path);
  }
}

/** A change of names in one or two directories: of which `node` has the name `to` afterwards, and has `from` no more. */
interface Change {
  readonly node: File | Directory;
  readonly from: Place | undefined;
  readonly to: Place | undefined;
  /** Decided by a crash: all of it happened, or nothing. */
  happened: boolean | undefined;
}

interface Place {
  readonly directory: Directory;
  readonly name: string;
}

/** @internal */
export class Directory {
  readonly entries = new Map<string, File | Directory>();
  durable = new Map<string, File | Directory>();
  /** Changes that are not durable, oldest first. */
  pending: Change[] = [];

  /** What a flush that begins now makes durable. */
  beginSync(): readonly Change[] {
    return [...this.pending];
  }

  endSync(changes: readonly Change[]): void {
    const flushed = new Set(changes);
    for (const change of this.pending) if (flushed.has(change)) this.apply(change);
    this.pending = this.pending.filter((change) => !flushed.has(change));
  }

  apply({ node, from, to }: Change): void {
    if (from?.directory === this && this.durable.get(from.name) === node) this.durable.delete(from.name);
    if (to?.directory === this) this.durable.set(to.name, node);
  }
}

/** @internal */
export class Tree {
  #root = new Directory();

  /** Throws ENOENT, ENOTDIR. */
  directory(path: string): Directory {
    let at = this.#root;
    for (const name of partsOf(path)) {
      const next = at.entries.get(name);
      if (next === undefined) throw diskError('ENOENT', path);
      if (next instanceof File) throw diskError('ENOTDIR', path);
      at = next;
    }
    return at;
  }

  directoryIfAny(path: string): Directory | undefined {
    try {
      return this.directory(path);
    } catch {
      return undefined;
    }
  }

  /** Throws ENOENT, ENOTDIR, EISDIR. */
  file(path: string): File {
    const { directory, name } = this.#place(path);
    const found = directory.entries.get(name);
    if (found === undefined) throw diskError('ENOENT', path);
    if (found instanceof Directory) throw diskError('EISDIR', path);
    return found;
  }

  makeDirectory(path: string): void {
    let at = this.#root;
    for (const name of partsOf(path)) {
      let next = at.entries.get(name);
      if (next === undefined) {
        next = new Directory();
        // What is right under the root is where a disk is mounted, and stays.
        if (at === this.#root) at.durable.set(name, next);
        else
          at.pending.push({ node: next, from: undefined, to: { directory: at, name }, happened: undefined });
        at.entries.set(name, next);
      }
      if (next instanceof File) throw diskError('EEXIST', path);
      at = next;
    }
  }

  create(path: string): File {
    const to = this.#place(path);
    if (to.directory.entries.has(to.name)) throw diskError('EEXIST', path);
    const file = new File(path);
    this.#change({ node: file, from: undefined, to, happened: undefined });
    return file;
  }

  /** Returns the file whose name was taken. */
  rename(path: string, target: string): File | undefined {
    const from = this.#place(path);
    const node = from.directory.entries.get(from.name);
    if (node === undefined) throw diskError('ENOENT', path);
    const to = this.#place(target);
    const replaced = to.directory.entries.get(to.name);
    if (replaced === node) return undefined;
    if (replaced instanceof Directory) throw diskError('EISDIR', target);
    if (replaced !== undefined && node instanceof Directory) throw diskError('ENOTDIR', target);
    this.#change({ node, from, to, happened: undefined });
    if (node instanceof File) node.named(target);
    if (replaced !== undefined) replaced.linked = false;
    return replaced;
  }

  /** Returns the file, if there was one. */
  remove(path: string): File | undefined {
    const from = this.#place(path);
    const node = from.directory.entries.get(from.name);
    if (node === undefined) return undefined;
    if (node instanceof Directory) throw diskError('EISDIR', path);
    this.#change({ node, from, to: undefined, happened: undefined });
    node.linked = false;
    return node;
  }

  /** All files that have a name. */
  files(): File[] {
    const out: File[] = [];
    const walk = (directory: Directory): void => {
      for (const node of directory.entries.values()) {
        if (node instanceof File) out.push(node);
        else walk(node);
      }
    };
    walk(this.#root);
    return out;
  }

  /** Power loss: each change that was not flushed is asked whether it happened. Returns the files that are left. */
  crash(happened: () => boolean): File[] {
    const files = new Set<File>();
    const walk = (directory: Directory, path: string): void => {
      for (const change of directory.pending) {
        change.happened ??= happened();
        if (change.happened) directory.apply(change);
      }
      directory.pending = [];
      directory.entries.clear();
      for (const [name, node] of directory.durable) {
        directory.entries.set(name, node);
        if (node instanceof Directory) {
          walk(node, `${path}/${name}`);
        } else {
          node.named(`${path}/${name}`);
          node.linked = true;
          files.add(node);
        }
      }
    };
    walk(this.#root, '');
    return [...files];
  }

  wipe(): void {
    this.#root = new Directory();
  }

  #change(change: Change): void {
    const { node, from, to } = change;
    from?.directory.entries.delete(from.name);
    to?.directory.entries.set(to.name, node);
    from?.directory.pending.push(change);
    if (to !== undefined && to.directory !== from?.directory) to.directory.pending.push(change);
  }

  #place(path: string): Place {
    const parts = partsOf(path);
    const name = parts.pop();
    if (name === undefined) throw diskError('EISDIR', path);
    return { directory: this.directory(parts.join('/')), name };
  }
}

/** An error as the operating system gives it. @internal */
export function diskError(code: string, path: string): Error {
  return Object.assign(new Error(`${code}: simulated, '${path}'`), { code, path });
}

function partsOf(path: string): string[] {
  return path.split(/[\\/]+/).filter((part) => part !== '' && part !== '.');
}

function labelOf(path: string): string {
  return partsOf(path).slice(-2).join('/');
}
