/** What transact does for its caller, on three groups of one process, over the memory network. */
import { expect } from 'chai';
import {
  defineMachine,
  joinMesh,
  keyValue,
  memoryNetwork,
  memoryStorage,
  openClient,
  openReplica,
  QuorateError,
  transact,
  transactional,
  transactionsOf,
  type Mesh,
  type StateMachine,
  type TransactionProgress,
  type TransactionResource,
} from '../../../lib/index.js';

const meshes: Mesh[] = [];
let names = 0;

async function node(transport = memoryNetwork(), id = 'a') {
  const mesh = await joinMesh({
    id,
    cluster: 'test',
    secret: 'a secret of sixteen bytes or more',
    transport,
  });
  meshes.push(mesh);
  return mesh;
}

async function open<M extends StateMachine>(mesh: Mesh, stateMachine: M, members = ['a']) {
  return openReplica({ mesh, group: `g${++names}`, members, storage: memoryStorage(), stateMachine });
}

function accounts() {
  return transactional(keyValue<number>());
}

async function failure(promise: Promise<unknown>): Promise<QuorateError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof QuorateError) return error;
    throw error;
  }
  throw new Error('it did not fail');
}

describe('transact', () => {
  afterEach(async () => {
    for (const mesh of meshes.splice(0)) await mesh.close();
  });

  it('commits in all groups what it did, and tells its result', async () => {
    const mesh = await node();
    const [from, to] = [await open(mesh, accounts()), await open(mesh, accounts())];
    await from.submit({ op: 'put', key: 'ann', value: 100 });
    const left: number = await transact({ from, to }, async (groups) => {
      const balance = (await groups.from.query({ op: 'get', key: 'ann' }))!;
      await groups.from.submit({ op: 'put', key: 'ann', value: balance - 30 });
      await groups.to.submit({ op: 'put', key: 'bob', value: 30 });
      return balance - 30;
    });
    expect(left).to.equal(70);
    expect(await from.query({ op: 'get', key: 'ann' })).to.equal(70);
    expect(await to.query({ op: 'get', key: 'bob' })).to.equal(30);
    expect(transactionsOf(from).metrics()).to.include({ underWay: 0, inDoubt: 0 });
    expect(transactionsOf(to).metrics()).to.include({ underWay: 0, inDoubt: 0, unfinished: 0 });
  });

  it('takes a list of replicas, and sees its own writes before they are committed', async () => {
    const mesh = await node();
    const [one, two] = [await open(mesh, accounts()), await open(mesh, accounts())];
    await one.submit({ op: 'put', key: 'a', value: 1 });
    await one.submit({ op: 'put', key: 'b', value: 2 });
    const seen = await transact([one, two], async ([x, y]) => {
      await x.submit({ op: 'delete', key: 'a' });
      await x.submit({ op: 'put', key: 'c', value: 3 });
      await y.submit({ op: 'put', key: 'z', value: 9 });
      const outside = await one.query({ op: 'list' });
      return [
        outside,
        await x.query({ op: 'list' }),
        await x.query({ op: 'list', limit: 1 }),
        await x.query({ op: 'get', key: 'a' }),
        await x.submit({ op: 'cas', key: 'c', expected: 3, value: 4 }),
        await y.query({ op: 'get', key: 'z' }),
      ];
    });
    expect(seen).to.deep.equal([
      [
        ['a', 1],
        ['b', 2],
      ],
      [
        ['b', 2],
        ['c', 3],
      ],
      [['b', 2]],
      undefined,
      { ok: true, current: 4 },
      9,
    ]);
    expect(await one.query({ op: 'list' })).to.deep.equal([
      ['b', 2],
      ['c', 4],
    ]);
  });

  it('does nothing when the function throws, and rejects with that', async () => {
    const mesh = await node();
    const [one, two] = [await open(mesh, accounts()), await open(mesh, accounts())];
    const oops = new Error('oops');
    let caught: unknown;
    try {
      await transact({ one, two }, async (groups) => {
        await groups.one.submit({ op: 'put', key: 'k', value: 1 });
        await groups.two.submit({ op: 'put', key: 'k', value: 1 });
        throw oops;
      });
    } catch (error) {
      caught = error;
    }
    expect(caught).to.equal(oops);
    expect(await one.query({ op: 'list' })).to.deep.equal([]);
    const error = await failure(
      transact({ one, two }, async (groups, { abort }) => {
        await groups.one.submit({ op: 'put', key: 'k', value: 1 });
        abort('NO_MONEY', { left: 3 });
      }),
    );
    expect(error).to.include({ code: 'ERR_TRANSACTION_ABORTED', reason: 'NO_MONEY', fate: 'refused' });
    expect(error.data).to.deep.equal({ left: 3 });
    // The locks are given back.
    await transact({ one, two }, async (groups) => {
      await groups.one.submit({ op: 'put', key: 'k', value: 2 });
      await groups.two.submit({ op: 'put', key: 'k', value: 2 });
    });
    expect(await two.query({ op: 'get', key: 'k' })).to.equal(2);
  });

  it('tells what a machine rejects, and goes on without that command', async () => {
    const mesh = await node();
    const stock = transactional(
      defineMachine({
        version: 1,
        initial: () => ({ left: 3 }),
        commands: {
          take: (state, c: { n: number }, context) => {
            if (c.n > state.left) context.reject('OUT_OF_STOCK', { left: state.left });
            return (state.left -= c.n);
          },
        },
        queries: { left: (state) => state.left },
      }),
    );
    const [items, money] = [await open(mesh, stock), await open(mesh, accounts())];
    await transact({ items, money }, async (groups) => {
      const left: number = await groups.items.submit({ op: 'take', n: 2 });
      expect(left).to.equal(1);
      const error = await failure(groups.items.submit({ op: 'take', n: 2 }));
      expect(error).to.include({ code: 'ERR_REJECTED', reason: 'OUT_OF_STOCK' });
      expect(error.data).to.deep.equal({ left: 1 });
      expect(await groups.items.query({ op: 'left' })).to.equal(1);
      await groups.money.submit({ op: 'put', key: 'till', value: 20 });
    });
    expect(await items.query({ op: 'left' })).to.equal(1);
    expect(await money.query({ op: 'get', key: 'till' })).to.equal(20);
  });

  it('goes on after a command that was refused before it was sent', async () => {
    const mesh = await node();
    const [one, two] = [await open(mesh, accounts()), await open(mesh, accounts())];
    const attempts: number[] = [];
    await transact({ one, two }, async (groups, { attempt }) => {
      attempts.push(attempt);
      const invalid = { op: 'put', key: 'x'.repeat(5000), value: 1 } as const;
      expect(await failure(groups.one.submit(invalid))).to.include({ reason: 'INVALID_KEY' });
      expect(await failure(groups.two.submit(invalid))).to.include({ reason: 'INVALID_KEY' });
      await groups.one.submit({ op: 'put', key: 'x', value: 1 });
    });
    expect(attempts).to.deep.equal([1]);
    expect(await one.query({ op: 'get', key: 'x' })).to.equal(1);
  });

  it('begins anew when what it read was not locked all the time', async () => {
    const mesh = await node();
    const [one, two] = [await open(mesh, accounts()), await open(mesh, accounts())];
    const submit = one.submit.bind(one);
    let attempts = 0;
    // The first attempt's locks in the one group last for a moment only.
    Object.assign(one, {
      submit: (command: readonly [string, string, object], options: never) => {
        const short = command[1] === 'step' && attempts === 1;
        return submit(
          (short ? [command[0], command[1], { ...command[2], leaseMs: 1 }] : command) as never,
          options,
        );
      },
    });
    for (const parties of [
      { one, two },
      { two, one },
    ]) {
      attempts = 0;
      const seen = await transact(parties, async (groups) => {
        attempts++;
        const n = await groups.one.query({ op: 'get', key: 'k' });
        await groups.two.submit({ op: 'put', key: 'k', value: 1 });
        for (let written = attempts > 1; !written;)
          written = await submit({ op: 'put', key: 'k', value: (n ?? 0) + 1 }).then(
            () => true,
            () => false,
          );
        return n;
      });
      expect(attempts).to.equal(2);
      expect(seen).to.equal(await one.query({ op: 'get', key: 'k' }));
    }
  });

  it('keeps others from what is locked: commands are rejected, transactions come one after the other', async () => {
    const mesh = await node();
    const [one, two] = [await open(mesh, accounts()), await open(mesh, accounts())];
    await transact({ one, two }, async (groups) => {
      await groups.one.submit({ op: 'put', key: 'k', value: 1 });
      expect(await failure(one.submit({ op: 'put', key: 'k', value: 7 }))).to.include({ reason: 'LOCKED' });
      await one.submit({ op: 'put', key: 'other', value: 7 });
      expect(await groups.one.query({ op: 'get', key: 'k' })).to.equal(1);
    });
    const add = () =>
      transact({ one, two }, async (groups) => {
        for (const group of [groups.one, groups.two]) {
          const n = (await group.query({ op: 'get', key: 'n' })) ?? 0;
          await group.submit({ op: 'put', key: 'n', value: n + 1 });
        }
      });
    await Promise.all(Array.from({ length: 12 }, add));
    expect(await one.query({ op: 'get', key: 'n' })).to.equal(12);
    expect(await two.query({ op: 'get', key: 'n' })).to.equal(12);
  });

  it('gives the same result again under a request id, and does nothing', async () => {
    const mesh = await node();
    const [one, two] = [await open(mesh, accounts()), await open(mesh, accounts())];
    const runs: number[] = [];
    const pay = (replicas: { one: typeof one; two: typeof two } | { one: typeof one }) =>
      transact(
        replicas,
        async (groups) => {
          runs.push(1);
          for (const group of Object.values(groups)) {
            const n = (await group.query({ op: 'get', key: 'n' })) ?? 0;
            await group.submit({ op: 'put', key: 'n', value: n + 1 });
          }
          return { run: runs.length };
        },
        { requestId: `pay-${Object.keys(replicas).length}` },
      );
    expect(await pay({ one, two })).to.deep.equal({ run: 1 });
    expect(await pay({ one, two })).to.deep.equal({ run: 1 });
    expect(await one.query({ op: 'get', key: 'n' })).to.equal(1);
    expect(await two.query({ op: 'get', key: 'n' })).to.equal(1);
    expect(await pay({ one })).to.deep.equal({ run: 2 });
    expect(await pay({ one })).to.deep.equal({ run: 2 });
    expect(await one.query({ op: 'get', key: 'n' })).to.equal(2);
    // At once, from two callers: one of them does it.
    const both = await Promise.all(
      [1, 2].map(() =>
        transact(
          { one, two },
          async (groups) => {
            const n = (await groups.two.query({ op: 'get', key: 'n' }))!;
            await groups.two.submit({ op: 'put', key: 'n', value: n + 1 });
            return n + 1;
          },
          { requestId: 'twice' },
        ),
      ),
    );
    expect(both).to.deep.equal([2, 2]);
    expect(await two.query({ op: 'get', key: 'n' })).to.equal(2);
    // Nothing is read or written: the result is kept all the same.
    expect(await transact([one], () => 'first', { requestId: 'empty' })).to.equal('first');
    expect(await transact([one], () => 'second', { requestId: 'empty' })).to.equal('first');
  });

  it('works through a client of a group that is elsewhere', async () => {
    const network = memoryNetwork();
    const [here, there] = [await node(network, 'a'), await node(network, 'b')];
    const one = await open(here, accounts(), ['a']);
    const two = await open(there, accounts(), ['b']);
    const far = await openClient({ mesh: here, group: two.group, stateMachine: accounts() });
    for (const parties of [
      [one, far],
      [far, one],
    ] as const)
      await transact(parties, async ([x, y]) => {
        await x.submit({ op: 'put', key: x.group, value: 1 });
        await y.submit({ op: 'put', key: y.group, value: 1 });
      });
    expect(await one.query({ op: 'list' })).to.deep.equal([[one.group, 1]]);
    expect(await two.query({ op: 'list' })).to.deep.equal([[two.group, 1]]);
  });

  it('has resources vote and learn the outcome', async () => {
    const mesh = await node();
    const calls: string[] = [];
    let vote = true;
    const psp: TransactionResource<{ amount: number }> = {
      prepare: (_id, { amount }) => {
        calls.push(`prepare ${amount}`);
        return vote;
      },
      commit: (_id, { amount }) => void calls.push(`commit ${amount}`),
      abort: (_id, { amount }) => void calls.push(`abort ${amount}`),
    };
    const home = await open(mesh, transactional(keyValue<number>(), { resources: { psp } }));
    const pay = () =>
      transact({ home }, async (groups, { enlist }) => {
        enlist('psp', { amount: 5 });
        await groups.home.submit({ op: 'put', key: 'paid', value: 5 });
      });
    await pay();
    expect(calls).to.deep.equal(['prepare 5', 'commit 5']);
    expect(await home.query({ op: 'get', key: 'paid' })).to.equal(5);
    vote = false;
    calls.length = 0;
    await home.submit({ op: 'delete', key: 'paid' });
    expect(await failure(pay())).to.include({
      code: 'ERR_TRANSACTION_ABORTED',
      reason: 'RESOURCE',
      fate: 'refused',
    });
    expect(await home.query({ op: 'get', key: 'paid' })).to.equal(undefined);
    expect(calls).to.deep.equal(['prepare 5', 'abort 5']);
    expect(await failure(transact([home], (_, { enlist }) => enlist('other')))).to.include({
      code: 'ERR_CONFIG',
    });
  });

  it('tells how far it is', async () => {
    const mesh = await node();
    const [one, two] = [await open(mesh, accounts()), await open(mesh, accounts())];
    const told: TransactionProgress[] = [];
    await transact(
      { one, two },
      async (groups) => {
        await groups.one.submit({ op: 'put', key: 'k', value: 1 });
        await groups.two.submit({ op: 'put', key: 'k', value: 1 });
      },
      { onProgress: (progress) => void told.push(progress) },
    );
    expect(told.map(({ type }) => type)).to.deep.equal(['attempt', 'preparing', 'decided', 'finished']);
    expect(told[3]).to.include({ complete: true });
  });

  it('ends by its signal and by its time-out, with nothing done', async () => {
    const mesh = await node();
    const [one, two] = [await open(mesh, accounts()), await open(mesh, accounts())];
    const stop = new AbortController();
    const aborted = failure(
      transact(
        { one, two },
        async (groups) => {
          await groups.one.submit({ op: 'put', key: 'k', value: 1 });
          stop.abort();
          await new Promise(() => undefined);
        },
        { signal: stop.signal },
      ),
    );
    expect(await aborted).to.include({ code: 'ERR_ABORTED', name: 'AbortError', fate: 'refused' });
    const late = failure(transact([one, two], () => new Promise(() => undefined), { timeout: 20 }));
    expect(await late).to.include({ code: 'ERR_TIMEOUT', fate: 'refused' });
    await transact([one, two], async ([x]) => x.submit({ op: 'put', key: 'k', value: 2 }));
    expect(await one.query({ op: 'get', key: 'k' })).to.equal(2);
    expect(await failure(transact([one], () => 1, { signal: stop.signal }))).to.include({ fate: 'refused' });
  });

  it('refuses what makes no sense', async () => {
    const mesh = await node();
    const plain = await open(mesh, keyValue<number>());
    const one = await open(mesh, accounts());
    const wrong = [
      transact({}, () => 1),
      transact([one, one], () => 1),
      transact([plain], () => 1),
      transact([one, 1 as unknown as typeof one], () => 1),
      transact([one], undefined as unknown as () => void),
      transact([one], () => 1, { timeout: 0 }),
      transact([one], () => 1, { timeout: 300_001 }),
      transact([one], () => 1, { requestId: '' }),
      transact([one], () => 1, { protocol: 'three' as 'two-phase' }),
    ];
    for (const each of wrong) expect((await failure(each)).code).to.equal('ERR_CONFIG');
    expect(() => transactionsOf(plain)).to.throw(QuorateError, 'transactional()');
    expect(() => transactional({ version: 1 } as unknown as StateMachine)).to.throw(QuorateError, 'rehearse');
    const large = failure(transact([one], () => 'x'.repeat(70_000), { requestId: 'large' }));
    expect((await large).code).to.equal('ERR_TOO_LARGE');
  });
});
