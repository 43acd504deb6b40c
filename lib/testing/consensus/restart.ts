/** What was acknowledged is there after any crash, of any and of all, at any moment. */
import assert from 'node:assert/strict';
import { Random } from '../simulation/random.js';
import { five, three, type Group } from './bench.js';
import { get, led, level, others, put, until, up } from './steps.js';
import type { Suite } from './suite.js';

/** Clients that write keys of their own, and remember what was acknowledged. */
class Load {
  readonly acknowledged = new Map<string, number>();
  readonly #group: Group;
  readonly #running: Promise<unknown>;
  #stop = false;

  constructor(group: Group, clients = 6) {
    this.#group = group;
    this.#running = Promise.all(Array.from({ length: clients }, (_, i) => this.#client(i)));
    this.#running.catch(() => undefined);
  }

  async #client(own: number): Promise<void> {
    const { nodes } = this.#group;
    const random = new Random(`load ${this.#group.seed} ${own}`);
    for (let n = 1; !this.#stop; n++) {
      await this.#group.sleep(random.exponential(5));
      const id = random.pick(nodes);
      const done = await this.#group
        .replica(id)
        .submit({ op: 'put', key: `key ${own}`, value: n }, { timeout: 1500 })
        .then(
          () => true,
          () => false,
        );
      if (done) this.acknowledged.set(`key ${own}`, n);
    }
  }

  /** Ends it; all that was acknowledged, or something newer, is there through every node. */
  async end(ids = this.#group.nodes): Promise<void> {
    const group = this.#group;
    this.#stop = true;
    await group.settle(this.#running);
    assert.ok(this.acknowledged.size > 0, 'something was acknowledged');
    for (const id of ids)
      for (const [key, n] of this.acknowledged) {
        const value = await get(group, id, key);
        assert.ok(
          typeof value === 'number' && value >= n,
          `${id}: ${key} is ${String(value)}, ${n} was acknowledged`,
        );
      }
  }
}

/** @internal */
export function restartTests({ test }: Suite): void {
  for (const power of [true, false])
    test(`keep what was acknowledged when all members ${power ? 'lose power' : 'are killed'} and start again`, async (bench) => {
      const group = await bench.elected();
      for (let n = 0; n < 20; n++) await put(group, three[n % 3]!, `key ${n}`, n);
      for (const id of three) group.crash(id, { power });
      assert.equal(group.leader(), undefined);
      await group.run(1000);
      for (const id of three) group.restart(id);
      await led(group);
      for (let n = 0; n < 20; n++) assert.equal(await get(group, three[n % 3]!, `key ${n}`), n);
    });

  for (const seed of [3, 4])
    test(`keep it when all lose power at any moment under load, five times over (seed ${seed})`, async (bench) => {
      const disk = {
        write: { minMs: 0.02, meanMs: 1 },
        sync: { minMs: 0.1, meanMs: [0.2, 1, 5, 10][seed % 4]! },
      };
      const group = await bench.elected({ seed, nodes: seed % 2 === 0 ? five : three, disk });
      const random = new Random(`blackouts ${seed}`);
      const load = new Load(group);
      for (let i = 0; i < 5; i++) {
        await group.run(random.between(300, 900));
        const nodes = random.shuffle(group.nodes);
        for (const id of nodes) {
          group.crash(id);
          await group.run(random.pick([0, 0, 0.5, 3]));
        }
        await group.run(random.between(10, 500));
        for (const id of nodes) {
          group.restart(id);
          await group.run(random.pick([0, 0, 50]));
        }
        await led(group);
      }
      for (const id of group.nodes) await up(group, id);
      await load.end();
    });

  for (const seed of [1, 2])
    test(`keep it when leaders lose power one after the other (seed ${seed})`, async (bench) => {
      const group = await bench.elected({ seed, disk: { sync: { minMs: 0.2, meanMs: 3 } } });
      const random = new Random(`leaders ${seed}`);
      const load = new Load(group);
      for (let i = 0; i < 8; i++) {
        await group.run(random.between(50, 500));
        const leader = await led(group);
        group.crash(leader);
        await group.run(random.between(0, 300));
        group.restart(leader);
        await up(group, leader);
      }
      await load.end();
    });

  // Who forgets whom it gave its word lets two lead, or lets one lead without what was decided.
  test('keep the word of a member that loses its power in the middle of elections', async (bench) => {
    for (const seed of [1, 2]) {
      const group = await bench.elected({ seed, nodes: five, network: { latencyMs: 2, tailMs: 8 } });
      const random = new Random(`words ${seed}`);
      const load = new Load(group, 3);
      for (let i = 0; i < 3; i++) {
        const leader = await led(group);
        group.crash(leader);
        // Time-outs run out now: whoever votes or promises is struck in the midst of it, and is back at once.
        for (let k = 0; k < 25; k++) {
          await group.run(random.between(10, 40));
          const id = random.pick(group.nodes.filter((one) => one !== leader));
          if (group.state(id) !== 'up') continue;
          group.crash(id);
          group.restart(id);
        }
        group.restart(leader);
        for (const id of group.nodes) await up(group, id);
      }
      // A leader may be there before the members that are asked have a link to it again.
      await until(group, 'something is acknowledged', () => load.acknowledged.size > 0);
      await load.end();
    }
  });

  test('let a member go on from its snapshot and what is behind it', async (bench) => {
    const group = await bench.elected({ snapshot: { logBytes: 4096, keepEntries: 0 } });
    const [one] = others(group);
    for (let n = 0; n < 150; n++) await put(group, three[n % 3]!, `key ${n % 20}`, `${n} ${'v'.repeat(100)}`);
    await level(group);
    const { appliedIndex } = group.replica(one).status();
    const installed = group.counts()['snapshots installed'] ?? 0;
    group.crash(one);
    group.restart(one);
    await level(group);
    assert.ok(group.replica(one).status().appliedIndex >= appliedIndex);
    assert.equal(group.counts()['snapshots installed'] ?? 0, installed, 'its own is good enough');
    for (let n = 130; n < 150; n++)
      assert.equal(group.replica(one).peek({ op: 'get', key: `key ${n % 20}` }), `${n} ${'v'.repeat(100)}`);
    // And all of them, with nobody to ask.
    for (const id of three) group.crash(id);
    for (const id of three) group.restart(id);
    await led(group);
    for (const id of three) assert.equal(await get(group, id, 'key 9'), `149 ${'v'.repeat(100)}`);
  });

  test('stop as they should: the leadership is handed over, and no call is left behind', async (bench) => {
    const group = await bench.elected();
    const leader = group.leader()!;
    const open = group.replica(leader).submit({ op: 'put', key: 'k', value: 1 });
    open.catch(() => undefined);
    const begun = group.now;
    await group.settle(group.stop(leader));
    assert.equal(group.state(leader), 'down');
    const [one] = others(group).filter((id) => id !== leader) as [string];
    await put(group, one, 'k', 2);
    assert.ok(group.now - begun < 250, `${group.now - begun} ms; the election time-out is 300 ms`);
    assert.equal(group.openCalls, 0);
    group.restart(leader);
    await level(group);
  });
}
