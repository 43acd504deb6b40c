/** A process of the bank: replicas of its groups, clients of the others, and tellers who move money between all of them. */
import {
  diskStorage,
  joinMesh,
  keyValue,
  openClient,
  openReplica,
  QuorateError,
  transact,
  transactional,
  transactionsOf,
  webrtc,
  webSocketSignaling,
  type GroupClient,
  type KeyValueMachine,
  type Replica,
  type TransactionalMachine,
} from '../../../lib/index.js';
import type { TransactionRecord } from '../../../lib/testing/index.js';
import {
  accounts,
  BALANCE,
  groups,
  layout,
  TIMEOUT_MS,
  TOTAL,
  type Account,
  type Reply,
  type Request,
} from './bankMessages.js';
import { sleep, type Setup } from './processes.js';

type Bank = TransactionalMachine<KeyValueMachine<Account>>;

const setup = JSON.parse(process.argv[2] ?? '') as Setup;
const mesh = await joinMesh({
  id: setup.id,
  cluster: 'system-test',
  secret: setup.secret,
  transport: webrtc({ signaling: webSocketSignaling(setup.signaling), bindAddress: '127.0.0.1' }),
});
const storage = diskStorage(setup.directory);
const replicas = new Map<string, Replica<Bank>>();
const parties: Record<string, Replica<Bank> | GroupClient<Bank>> = {};
for (const [group, members] of Object.entries(layout)) {
  if (members.includes(setup.id)) {
    const replica = await openReplica({
      mesh,
      group,
      members,
      storage,
      stateMachine: transactional(keyValue<Account>()),
      snapshot: { logBytes: 128 * 1024, keepEntries: 100 },
    });
    replicas.set(group, (parties[group] = replica));
  } else parties[group] = await openClient<Bank>({ mesh, group });
}

/** Resolves once it is handed over: what is said before a kill is said. */
const reply = (message: Reply): Promise<void> =>
  new Promise((resolve) => {
    if (!process.connected) return;
    process.send!(message, () => resolve());
  });
// The same in all processes of a machine, and never set.
const clock = (): number => Number(process.hrtime.bigint() / 1000n) / 1000;
const empty: Account = { balance: 0, version: 0, by: '' };
const random = (below: number): number => Math.floor(Math.random() * below);
let count = 0;
let running = false;
let tellers: Promise<void>[] = [];

type Read = (account: readonly [string, string], forUpdate?: boolean) => Promise<Account>;
type Write = (account: readonly [string, string], before: Account, balance: number) => Promise<void>;

async function recorded(kind: string, work: (read: Read, write: Write) => Promise<void>): Promise<boolean> {
  const id = `${kind}.${setup.id}.${process.pid}.${++count}`;
  const call = clock();
  let reads: { key: string; version: number; by?: string }[] = [];
  let writes: { key: string; version: number }[] = [];
  const record = (outcome: TransactionRecord['outcome']): TransactionRecord => {
    return { id, outcome, call, return: outcome === 'unknown' ? Infinity : clock(), reads, writes };
  };
  // Different homes, as in life.
  const turn = count % groups.length;
  const order = [...groups.slice(turn), ...groups.slice(0, turn)];
  try {
    await transact(
      Object.fromEntries(order.map((group) => [group, parties[group]!])),
      async (handles) => {
        [reads, writes] = [[], []];
        await work(
          async ([group, key], forUpdate = false) => {
            const found = (await handles[group]!.query({ op: 'get', key }, { forUpdate })) ?? empty;
            reads.push({ key, version: found.version, ...(found.by === '' ? {} : { by: found.by }) });
            return found;
          },
          async ([group, key], { version }, balance) => {
            writes.push({ key, version: version + 1 });
            await handles[group]!.submit({
              op: 'put',
              key,
              value: { balance, version: version + 1, by: id },
            });
          },
        );
        await reply({ type: 'attempt', record: record('unknown') });
      },
      { timeout: TIMEOUT_MS },
    );
  } catch (error) {
    if (!(error instanceof QuorateError) || error.fate === undefined) throw error;
    const outcome = error.fate === 'refused' ? 'aborted' : 'unknown';
    await reply({ type: 'over', record: record(outcome), why: `${kind} ${error.fate} ${error.code}` });
    return false;
  }
  await reply({ type: 'over', record: record('committed'), why: `${kind} committed` });
  return true;
}

async function transfer(): Promise<void> {
  const from = accounts[random(accounts.length)]!;
  const others = accounts.filter((account) => account !== from);
  const to = others[random(others.length)]!;
  const amount = 1 + random(60);
  await recorded('transfer', async (read, write) => {
    const forUpdate = amount % 2 === 0; // locks get stronger in the other half
    const [source, target] = [await read(from, forUpdate), await read(to, forUpdate)];
    const moved = Math.min(amount, source.balance);
    await write(from, source, source.balance - moved);
    await write(to, target, target.balance + moved);
  });
}

/** Reads everything: also an attempt that comes to nothing must see what adds up. */
async function audit(): Promise<number | undefined> {
  let total = 0;
  const done = await recorded('audit', async (read) => {
    const all = await Promise.all(accounts.map((account) => read(account)));
    total = all.reduce((sum, { balance }) => sum + balance, 0);
    if (total !== TOTAL)
      await reply({
        type: 'wrong',
        message: `${setup.id} found ${total}, not ${TOTAL}: ${JSON.stringify(all)}`,
      });
  });
  return done ? total : undefined;
}

async function teller(): Promise<void> {
  while (running) {
    await sleep(10 + random(80));
    await (random(8) === 0 ? audit() : transfer());
  }
}

async function answer(request: Request): Promise<void> {
  switch (request.type) {
    case 'fill': {
      const fill = (): Promise<boolean> =>
        recorded('fill', async (read, write) => {
          for (const account of accounts) await write(account, await read(account, true), BALANCE);
        });
      await Promise.all([...replicas.values()].map((replica) => replica.ready({ timeout: 60_000 })));
      while (!(await fill())) await sleep(200);
      return reply({ type: 'filled' });
    }
    case 'run':
      running = true;
      tellers = Array.from({ length: request.tellers }, teller);
      return;
    case 'stop':
      running = false;
      await Promise.all(tellers);
      return reply({ type: 'stopped' });
    case 'figures': {
      const all = [...replicas.values()];
      const figures = all.map((replica) => transactionsOf(replica).metrics());
      const digests: Record<string, string> = {};
      for (const replica of all) digests[replica.group] = (await replica.digest()).digest;
      return reply({
        type: 'figures',
        leads: all.filter((replica) => replica.status().role === 'leader').map(({ group }) => group),
        inDoubt: figures.reduce((sum, { inDoubt }) => sum + inDoubt, 0),
        unfinished: figures.reduce((sum, { unfinished }) => sum + unfinished, 0),
        digests,
      });
    }
    case 'audit': {
      let total: number | undefined;
      while ((total = await audit()) === undefined) await sleep(100);
      return reply({ type: 'audited', total });
    }
  }
}

process.on('message', (request: Request) => {
  answer(request).catch((error: unknown) => {
    console.error(setup.id, error);
    process.exit(1);
  });
});
process.on('disconnect', () => process.exit());
await reply({ type: 'open' });
