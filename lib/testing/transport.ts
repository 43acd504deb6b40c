/** The conformance suite for whoever writes a transport. */
import assert from 'node:assert/strict';
import { nodeEnvironment } from '../environment.js';
import type { Environment } from '../environment.js';
import type { TestFramework } from './framework.js';
import type { Lane, LaneName, RawLink, Transport, TransportSession } from '../mesh/transport.js';

/** What {@link testTransport} tests. */
export interface TransportUnderTest {
  /** Names the suite. */
  readonly name: string;
  /** Makes a network afresh, for each test; all nodes of the test share what it returns. */
  readonly create: () => Transport | Promise<Transport>;
  /**
   * Most milliseconds to wait for anything.
   * @defaultValue 15000
   */
  readonly timeoutMs?: number;
  /** @internal */
  readonly environment?: Environment;
  /** Lets the environment's time pass. @internal */
  readonly sleep?: (ms: number) => Promise<void>;
}

/**
 * Declares the tests that every transport must pass.
 *
 * @example
 * ```ts
 * import { describe, it } from 'mocha';
 * testTransport({ name: 'memory', create: () => memoryNetwork() }, { describe, it });
 * ```
 */
export function testTransport(subject: TransportUnderTest, runner: TestFramework): void {
  const { describe, it } = runner;
  const lanes: readonly LaneName[] = ['control', 'bulk'];

  describe(`transport: ${subject.name}`, () => {
    const test = (name: string, body: (bench: Bench) => Promise<void>): void => {
      it(name, async () => {
        const bench = new Bench(await subject.create(), subject);
        try {
          await body(bench);
        } finally {
          await bench.close();
        }
      });
    };

    test('announces nodes of the same cluster, in a turn of its own', async (bench) => {
      const a = await bench.start('a');
      const b = await bench.start('b');
      const other = await bench.start('c', 'another cluster');
      await bench.until('presence', () => a.present.has('b') && b.present.has('a'));
      assert.deepEqual([...other.present], []);
      assert.ok(!a.present.has('a') && !a.present.has('c'));
      await b.session.close();
      await bench.until('absence', () => !a.present.has('b'));
    });

    test('links a pair once, the smaller id offering, with one binding', async (bench) => {
      const [near, far] = await bench.pair();
      assert.deepEqual([near.peer, near.offerer, far.peer, far.offerer], ['b', true, 'a', false]);
      assert.equal(near.binding, far.binding);
      for (const link of [near, far]) {
        for (const lane of lanes) assert.ok(link[lane].maxMessageSize >= 65536, 'messages of 64 KiB fit');
      }
    });

    test('takes an ask from the side that does not offer', async (bench) => {
      const a = await bench.start('a');
      const b = await bench.start('b');
      await bench.until('presence', () => b.present.has('a'));
      b.session.connect('a');
      await bench.until('a link', () => a.links.length === 1 && b.links.length === 1);
      assert.ok(a.links[0]!.raw.offerer && !b.links[0]!.raw.offerer);
    });

    test('does nothing more when asked again during a set-up, or for a stranger', async (bench) => {
      const a = await bench.start('a');
      const b = await bench.start('b');
      await bench.until('presence', () => a.present.has('b') && b.present.has('a'));
      for (let i = 0; i < 5; i++) a.session.connect('b');
      a.session.connect('nobody');
      await bench.until('a link', () => a.links.length > 0 && b.links.length > 0);
      // Whatever a second set-up would have brought comes before what is sent after it.
      const third = await bench.start('c');
      await bench.until('presence', () => a.present.has('c') && third.present.has('a'));
      a.session.connect('c');
      await bench.until('the other link', () => third.links.length > 0);
      assert.deepEqual([a.links.filter((l) => l.raw.peer === 'b').length, b.links.length], [1, 1]);
    });

    for (const lane of lanes) {
      test(`keeps order and bytes on ${lane}, both ways, from the first turn on`, async (bench) => {
        const [near, far] = await bench.pair();
        const sizes = [1, 2, 63, 1024, 16384, 65536, 100, ...new Array<number>(300).fill(64)];
        for (const [index, size] of sizes.entries()) {
          assert.ok(near[lane].send(pattern(size, index)));
          assert.ok(far[lane].send(pattern(size, index + 1)));
        }
        await bench.until(
          'all messages',
          () => near.got[lane].length >= sizes.length && far.got[lane].length >= sizes.length,
        );
        for (const [index, size] of sizes.entries()) {
          assert.deepEqual(far.got[lane][index], pattern(size, index));
          assert.deepEqual(near.got[lane][index], pattern(size, index + 1));
        }
      });
    }

    test('delivers what was sent before the other side listens', async (bench) => {
      const [near, far] = await bench.pair((link) => link.raw.control.send(pattern(100, 7)));
      await bench.until('both greetings', () => near.got.control.length > 0 && far.got.control.length > 0);
      assert.deepEqual(near.got.control[0], pattern(100, 7));
    });

    test('copies what it is given, and gives away what it delivers', async (bench) => {
      const [near, far] = await bench.pair();
      const message = pattern(1000, 1);
      near.control.send(message);
      message.fill(0);
      near.control.send(message);
      await bench.until('both', () => far.got.control.length === 2);
      assert.deepEqual(far.got.control[0], pattern(1000, 1));
      far.got.control[1]!.fill(9);
      assert.deepEqual(far.got.control[0], pattern(1000, 1));
    });

    test('takes a message of the maximum size, and refuses a larger one without harm', async (bench) => {
      const [near, far] = await bench.pair();
      const size = near.bulk.maxMessageSize;
      assert.ok(near.bulk.send(pattern(size, 3)));
      assert.equal(near.bulk.send(new Uint8Array(size + 1)), false);
      near.bulk.send(pattern(1, 1));
      await bench.until('two messages', () => far.got.bulk.length === 2);
      assert.deepEqual(far.got.bulk[0], pattern(size, 3));
      assert.equal(far.got.bulk[1]!.length, 1);
    });

    test('counts what it buffers, and says when that has drained', async (bench) => {
      const [near, far] = await bench.pair();
      let drained = 0;
      near.bulk.onDrain = () => drained++;
      const message = pattern(65536, 1);
      let sent = 0;
      while (near.bulk.bufferedAmount < 1024 * 1024 && sent < 256) {
        assert.ok(near.bulk.send(message));
        sent++;
      }
      assert.equal(drained, 0, 'never from inside a call');
      assert.ok(near.bulk.bufferedAmount >= 1024 * 1024, '256 messages of 64 KiB do not leave in one turn');
      await bench.until('the drain', () => drained > 0 && near.bulk.bufferedAmount === 0);
      await bench.until('all messages', () => far.got.bulk.length === sent);
    });

    test('ends on both sides, later, once; a closed lane takes nothing and does not throw', async (bench) => {
      const [near, far] = await bench.pair();
      let nested = false;
      near.raw.onClosed = () => {
        nested ||= closing;
        near.closed.push('closed');
      };
      let closing = true;
      near.raw.close();
      near.raw.close();
      closing = false;
      assert.equal(nested, false);
      assert.equal(near.control.send(pattern(1, 1)), false);
      assert.equal(near.bulk.send(pattern(1, 1)), false);
      await bench.until('both ends', () => near.closed.length > 0 && far.closed.length > 0);
      assert.equal(far.control.send(pattern(1, 1)), false);
      far.raw.close();
      await bench.turns(5);
      assert.deepEqual([near.closed.length, far.closed.length], [1, 1]);
    });

    test('links again after an end', async (bench) => {
      const [near, far] = await bench.pair();
      near.raw.close();
      await bench.until('the end', () => near.closed.length > 0 && far.closed.length > 0);
      const again = await bench.link('a', 'b');
      again[0].bulk.send(pattern(10, 1));
      await bench.until('a message', () => again[1].got.bulk.length === 1);
      if (near.binding !== '') assert.notEqual(again[0].binding, near.binding);
    });

    test('lets a newer run of an id take its place', async (bench) => {
      const [near] = await bench.pair();
      const fresh = await bench.start('b');
      await bench.until('presence', () => fresh.present.has('a'));
      fresh.session.connect('a');
      bench.nodes.get('a')!.session.connect('b');
      await bench.until(
        'a link to the newer run',
        () => fresh.links.length > 0,
        () => fresh.session.connect('a'),
      );
      fresh.links.at(-1)!.control.send(pattern(5, 5));
      const a = bench.nodes.get('a')!;
      await bench.until('its message', () => a.links.at(-1)!.got.control.length === 1);
      assert.notEqual(a.links.at(-1), near);
    });

    test('links three nodes with each other', async (bench) => {
      for (const id of ['a', 'b', 'c']) await bench.start(id);
      const pairs = await Promise.all([bench.link('a', 'b'), bench.link('a', 'c'), bench.link('b', 'c')]);
      for (const [near, far] of pairs) near.control.send(pattern(20, far.raw.peer.charCodeAt(0)));
      await bench.until('three messages', () => pairs.every(([, far]) => far.got.control.length === 1));
      for (const [, far] of pairs)
        assert.deepEqual(far.got.control[0], pattern(20, far.raw.peer.charCodeAt(0)));
    });

    test('closes its links with the session, and stays silent after', async (bench) => {
      const [near, far] = await bench.pair();
      const b = bench.nodes.get('b')!;
      await b.session.close();
      await b.session.close();
      const heard = far.got.control.length;
      near.control.send(pattern(1, 1));
      await bench.until('the end', () => near.closed.length > 0);
      b.session.connect('a');
      await bench.turns(5);
      assert.equal(far.got.control.length, heard);
      assert.equal(far.control.send(pattern(1, 1)), false);
    });
  });
}

/** A link with all that came over it. */
class Recorded {
  readonly raw: RawLink;
  readonly got: Record<LaneName, Uint8Array[]> = { control: [], bulk: [] };
  readonly closed: string[] = [];

  constructor(raw: RawLink) {
    this.raw = raw;
    let handing = true;
    for (const lane of ['control', 'bulk'] as const) {
      raw[lane].onMessage = (message) => {
        assert.equal(handing, false, 'no message comes from inside a setter');
        this.got[lane].push(Uint8Array.from(message));
        // What is delivered belongs to the receiver: it may be overwritten.
        message.fill(0xff);
      };
    }
    raw.onClosed = (reason) => this.closed.push(reason);
    handing = false;
  }

  get peer(): string {
    return this.raw.peer;
  }
  get offerer(): boolean {
    return this.raw.offerer;
  }
  get binding(): string {
    return this.raw.binding;
  }
  get control(): Lane {
    return this.raw.control;
  }
  get bulk(): Lane {
    return this.raw.bulk;
  }
}

interface Node {
  readonly session: TransportSession;
  readonly links: Recorded[];
  readonly present: Set<string>;
}

/** The nodes of one test. */
class Bench {
  readonly nodes = new Map<string, Node>();
  readonly #transport: Transport;
  readonly #environment: Environment;
  readonly #timeoutMs: number;
  readonly #sleep: (ms: number) => Promise<void>;
  readonly #sessions: TransportSession[] = [];
  readonly #warnings: string[] = [];
  #onLink: ((link: Recorded) => void) | undefined;
  #runs = 0;

  constructor(transport: Transport, subject: TransportUnderTest) {
    this.#transport = transport;
    this.#environment = subject.environment ?? nodeEnvironment;
    this.#timeoutMs = subject.timeoutMs ?? 15_000;
    this.#sleep = subject.sleep ?? ((ms) => new Promise((resolve) => void setTimeout(resolve, ms)));
  }

  async start(id: string, cluster = 'conformance'): Promise<Node> {
    const links: Recorded[] = [];
    const present = new Set<string>();
    const run = String(++this.#runs).padStart(15, '0');
    const session = await this.#transport.start({
      id,
      cluster,
      incarnation: `${run}-0123456789abcdef`,
      environment: this.#environment,
      onLink: (raw) => {
        const link = new Recorded(raw);
        links.push(link);
        this.#onLink?.(link);
      },
      onPresence: (peer, here) => {
        if (here) present.add(peer);
        else present.delete(peer);
      },
      route: () => false,
      onWarning: (error) => this.#warnings.push(error.message),
    });
    this.#sessions.push(session);
    const node = { session, links, present };
    this.nodes.set(id, node);
    return node;
  }

  /** Nodes a and b, linked: a's end and b's. */
  async pair(onLink?: (link: Recorded) => void): Promise<readonly [Recorded, Recorded]> {
    this.#onLink = onLink;
    await this.start('a');
    await this.start('b');
    return this.link('a', 'b');
  }

  /** A fresh link of two nodes. */
  async link(from: string, to: string): Promise<readonly [Recorded, Recorded]> {
    const [near, far] = [this.nodes.get(from)!, this.nodes.get(to)!];
    const fresh = (node: Node, peer: string): Recorded | undefined =>
      node.links.findLast((link) => link.peer === peer && link.closed.length === 0);
    await this.until('presence', () => near.present.has(to) && far.present.has(from));
    near.session.connect(to);
    // A set-up may fail; the mesh asks again, and so does this.
    const ask = (): void => near.session.connect(to);
    await this.until(`a link ${from}-${to}`, () => !!fresh(near, to) && !!fresh(far, from), ask);
    return [fresh(near, to)!, fresh(far, from)!];
  }

  async until(what: string, condition: () => boolean, nudge?: () => void): Promise<void> {
    const now = (): number => this.#environment.now();
    const deadline = now() + this.#timeoutMs;
    let nudgeAt = now() + 2000;
    while (!condition()) {
      assert.ok(
        now() < deadline,
        `${what} within ${this.#timeoutMs} ms; warnings: ${this.#warnings.join('; ') || 'none'}`,
      );
      if (nudge !== undefined && now() > nudgeAt) {
        nudgeAt = now() + 2000;
        nudge();
      }
      await this.#sleep(2);
    }
  }

  async turns(count: number): Promise<void> {
    for (let i = 0; i < count; i++) await this.#sleep(2);
  }

  async close(): Promise<void> {
    await Promise.all(this.#sessions.map((session) => session.close()));
  }
}

function pattern(size: number, seed: number): Uint8Array {
  const out = new Uint8Array(size);
  for (let i = 0; i < size; i++) out[i] = (i * 31 + seed) & 0xff;
  return out;
}
