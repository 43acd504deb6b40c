/** Several groups with transactions on simulated nodes that crash and come back, and a bank on them. */
import { expect } from 'chai';
import { QuorateError } from '../../../lib/errors.js';
import {
  diskStorage,
  keyValue,
  openClient,
  openReplica,
  raft,
  transact,
  transactional,
  transactionsOf,
  type KeyValueMachine,
  type GroupClient,
  type Mesh,
  type Replica,
  type TransactionalMachine,
  type TransactionalOptions,
  type TransactOptions,
} from '../../../lib/index.js';
import {
  checkSerializable,
  createSimulation,
  type Simulation,
  type TransactionRecord,
} from '../../../lib/testing/index.js';

/** What is in an account: how much, and for the checker which version this is and who wrote it. */
export interface Account {
  readonly balance: number;
  readonly version: number;
  readonly by: string;
}

export type Bank = TransactionalMachine<KeyValueMachine<Account>>;
export type Branch = Replica<Bank> | GroupClient<Bank>;

/** Which nodes have a replica of which group. */
export type Layout = Readonly<Record<string, readonly string[]>>;

export const threeGroups: Layout = { east: ['a', 'b', 'c'], north: ['b', 'c', 'd'], west: ['c', 'd', 'a'] };

export interface WorldOptions {
  readonly seed: number;
  readonly layout?: Layout;
  readonly machine?: (node: string, group: string) => Bank;
  /** What replicas are told beside; a hook for tests that watch. */
  readonly opened?: (node: string, group: string, replica: Replica<Bank>) => void;
}

export class World {
  readonly simulation: Simulation;
  readonly layout: Layout;
  readonly nodes: readonly string[];
  readonly #options: WorldOptions;
  readonly #replicas = new Map<string, Replica<Bank>>();
  readonly #clients = new Map<string, Promise<GroupClient<Bank>>>();
  readonly #meshes = new Map<string, Mesh>();

  constructor(options: WorldOptions) {
    this.#options = options;
    this.layout = options.layout ?? threeGroups;
    this.nodes = [...new Set(Object.values(this.layout).flat())].sort();
    this.simulation = createSimulation({ seed: options.seed, nodes: ['z'], clients: this.nodes });
    for (const node of this.nodes) this.#openWhenUp(node);
  }

  get groups(): string[] {
    return Object.keys(this.layout);
  }

  isUp(node: string): boolean {
    return this.simulation.state(node) === 'up';
  }

  replica(node: string, group: string): Replica<Bank> | undefined {
    return this.isUp(node) ? this.#replicas.get(`${node} ${group}`) : undefined;
  }

  /** A replica of the group on that node, or a client there. */
  async party(node: string, group: string): Promise<Branch> {
    const replica = this.replica(node, group);
    if (replica !== undefined) return replica;
    const name = `${node} ${group}`;
    let client = this.#clients.get(name);
    if (client === undefined) {
      client = openClient<Bank>({ mesh: this.simulation.mesh(node), group, timeout: 5000 });
      this.#clients.set(name, client);
    }
    return client;
  }

  leader(group: string): string | undefined {
    let found: { node: string; epoch: number } | undefined;
    for (const node of this.layout[group]!) {
      const status = this.replica(node, group)?.status();
      if (status?.role === 'leader' && (found === undefined || status.epoch > found.epoch))
        found = { node, epoch: status.epoch };
    }
    return found?.node;
  }

  /** All members are up, have met, and each group has a leader. */
  async ready(): Promise<void> {
    await this.simulation.ready();
    const up = (): boolean =>
      this.groups.every((group) => {
        const replicas = this.layout[group]!.map((node) => this.replica(node, group));
        return replicas.every(
          (replica) => replica?.status().quorum === true && replica.status().appliedIndex > 0,
        );
      });
    expect(await this.simulation.runUntil(up, 30_000), 'all groups have a leader').to.equal(true);
    await this.simulation.run(2000); // each has met each: from now on any one may go
  }

  crash(node: string, power = true): void {
    this.simulation.crash(node, { power });
    for (const group of this.groups) {
      this.#replicas.delete(`${node} ${group}`);
      this.#clients.delete(`${node} ${group}`);
    }
  }

  restart(node: string): void {
    this.crash(node, false);
    this.simulation.restart(node);
    this.#openWhenUp(node);
  }

  /** Every node that is down starts, every cut is mended. */
  heal(): void {
    this.simulation.heal();
    for (const node of this.nodes) if (this.simulation.state(node) === 'down') this.restart(node);
  }

  /** No member of any group is in doubt or has something to carry out. */
  get settled(): boolean {
    return this.groups.every((group) =>
      this.layout[group]!.every((node) => {
        const replica = this.replica(node, group);
        if (replica === undefined) return false;
        const { inDoubt, unfinished } = transactionsOf(replica).metrics();
        return inDoubt === 0 && unfinished === 0;
      }),
    );
  }

  #openWhenUp(node: string): void {
    const { simulation } = this;
    const look = (): void => {
      const state = simulation.state(node);
      if (state === 'starting') simulation.after(1, look);
      else if (state === 'up') void this.#open(node, simulation.mesh(node));
    };
    simulation.after(0, look);
  }

  async #open(node: string, mesh: Mesh): Promise<void> {
    this.#meshes.set(node, mesh);
    const storage = diskStorage('/bank', { segmentBytes: 65_536, reserve: 0 });
    for (const [group, members] of Object.entries(this.layout)) {
      if (!members.includes(node)) continue;
      const replica = await openReplica({
        mesh,
        group,
        members,
        stateMachine: this.#options.machine?.(node, group) ?? bank(),
        consensus: raft(),
        storage,
        snapshot: { logBytes: 32_768, keepEntries: 20 },
      });
      if (this.#meshes.get(node) !== mesh) return;
      this.#replicas.set(`${node} ${group}`, replica);
      this.#options.opened?.(node, group, replica);
    }
  }
}

export function bank(options: TransactionalOptions<KeyValueMachine<Account>> = {}): Bank {
  return transactional(keyValue<Account>(), options);
}

/** Numbers that one seed decides. */
export function dice(seed: number): (below: number) => number {
  let state = (seed * 2_654_435_761) >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

const empty: Account = { balance: 0, version: 0, by: '' };

/** Transfers and audits, with everything that they saw and wrote. */
export class Teller {
  readonly history: TransactionRecord[] = [];
  readonly world: World;
  readonly counts: Record<string, number> = {};
  /** What an audit must find; from when the accounts have been filled. */
  total = 0;
  #ids = 0;

  constructor(world: World) {
    this.world = world;
  }

  /** Puts money on an account, to begin with. */
  async fill(node: string, accounts: readonly (readonly [string, string])[], balance: number): Promise<void> {
    await this.#record('fill', node, {}, async (read, write) => {
      for (const [group, key] of accounts) {
        const account = await read(group, key, true);
        await write(group, key, { ...account, balance: account.balance + balance });
      }
    });
    this.total += balance * accounts.length;
  }

  async transfer(
    node: string,
    from: readonly [string, string],
    to: readonly [string, string],
    amount: number,
    options: TransactOptions = {},
  ): Promise<void> {
    await this.#record('transfer', node, options, async (read, write) => {
      const forUpdate = amount % 2 === 0; // locks get stronger in the other half
      const [source, target] = [await read(...from, forUpdate), await read(...to, forUpdate)];
      const moved = Math.min(amount, source.balance);
      await write(...from, { ...source, balance: source.balance - moved });
      await write(...to, { ...target, balance: target.balance + moved });
    });
  }

  /** Reads everything: whatever comes of the transaction, what it sees must add up. */
  async audit(
    node: string,
    accounts: readonly (readonly [string, string])[],
    options: TransactOptions = {},
  ): Promise<void> {
    await this.#record('audit', node, options, async (read) => {
      const all = await Promise.all(accounts.map(([group, key]) => read(group, key, false)));
      const total = all.reduce((sum, { balance }) => sum + balance, 0);
      if (total !== this.total)
        this.world.simulation.report(
          'bank',
          node,
          `an audit found ${total}, not ${this.total}: ${JSON.stringify(all)}`,
        );
    });
  }

  async #record(
    kind: string,
    node: string,
    options: TransactOptions,
    work: (
      read: (group: string, key: string, forUpdate: boolean) => Promise<Account>,
      write: (group: string, key: string, account: Account) => Promise<void>,
    ) => Promise<void>,
  ): Promise<void> {
    const { simulation, groups } = this.world;
    const id = `${kind}-${node}-${++this.#ids}`;
    const record: { -readonly [K in keyof TransactionRecord]: TransactionRecord[K] } = {
      id,
      outcome: 'unknown',
      call: simulation.now,
      return: Infinity,
      reads: [],
      writes: [],
    };
    this.history.push(record);
    const parties: Record<string, Branch> = {};
    // Different homes, as in life.
    const turn = this.#ids % groups.length;
    try {
      for (const group of [...groups.slice(turn), ...groups.slice(0, turn)])
        parties[group] = await this.world.party(node, group);
      await transact(
        parties,
        async (handles) => {
          const reads = (record.reads = [] as { key: string; version: number; by: string | undefined }[]);
          const writes = (record.writes = [] as { key: string; version: number }[]);
          await work(
            async (group, key, forUpdate) => {
              const found = (await handles[group]!.query({ op: 'get', key }, { forUpdate })) ?? empty;
              reads.push({ key, version: found.version, by: found.by === '' ? undefined : found.by });
              return found;
            },
            async (group, key, { balance, version }) => {
              writes.push({ key, version: version + 1 });
              await handles[group]!.submit({
                op: 'put',
                key,
                value: { balance, version: version + 1, by: id },
              });
            },
          );
        },
        { timeout: 3000, ...options },
      );
      record.outcome = 'committed';
    } catch (error) {
      if (!(error instanceof QuorateError)) {
        simulation.report('bank', node, `${id} threw ${String(error)}`);
        return;
      }
      this.#count(`${kind} ${error.fate ?? 'failed'} ${error.code}`);
      if (error.fate === undefined) simulation.report('bank', node, `${id} has no fate: ${error.message}`);
      if (error.fate === 'refused') record.outcome = 'aborted';
    }
    // Of what is unknown nobody can say when it was over.
    if (record.outcome !== 'unknown') record.return = simulation.now;
    if (record.outcome === 'committed') this.#count(`${kind} committed`);
  }

  #count(what: string): void {
    this.counts[what] = (this.counts[what] ?? 0) + 1;
  }

  /** Everything that must hold in the end. */
  check(): void {
    const { simulation } = this.world;
    simulation.check();
    const { anomalies } = checkSerializable(this.history);
    expect(anomalies.map(({ message }) => message)).to.deep.equal([]);
  }
}
