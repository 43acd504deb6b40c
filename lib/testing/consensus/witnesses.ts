/** Members that vote and hold no data; where a consensus has none, nobody becomes one. */
import assert from 'node:assert/strict';
import { QuorateError } from '../../errors.js';
import { joinMesh } from '../../mesh/joinMesh.js';
import { memoryNetwork } from '../../mesh/memory/network.js';
import { openReplica } from '../../replica/openReplica.js';
import { memoryStorage } from '../../storage/memoryStorage.js';
import type { Bench, Group } from './bench.js';
import { ledger } from './ledger.js';
import { assertLinearizable, get, put, thrown, until } from './steps.js';
import type { Suite } from './suite.js';

async function pairWithWitness(bench: Bench, seed = 1): Promise<Group> {
  const group = await bench.elected({ seed, nodes: ['a', 'b', 'w'], founders: ['a', 'b'], witnesses: ['w'] });
  group.restart('w');
  const votes = (): boolean =>
    group
      .replica('a')
      .status()
      .members.some(({ id, as }) => id === 'w' && as === 'witness');
  await until(group, 'w votes', votes);
  await put(group, 'a', 'k', 'both');
  await group.run(1000);
  return group;
}

/** @internal */
export function witnessesTests({ where, test, features }: Suite): void {
  where(
    'witnesses',
    'keep a group of two going when either is lost, and nothing is lost with it',
    async (bench) => {
      for (let seed = 1; seed <= 3; seed++) {
        const group = await pairWithWitness(bench, seed);
        for (const lost of ['a', 'b']) {
          const left = lost === 'a' ? 'b' : 'a';
          await put(group, lost, 'last', `of ${lost}`);
          group.crash(lost);
          await put(group, left, 'k', `${left} alone`);
          assert.equal(await get(group, left, 'last'), `of ${lost}`);
          group.restart(lost);
          const index = group.commitIndex;
          await until(
            group,
            `${lost} has all`,
            () => group.state(lost) === 'up' && group.replica(lost).status().appliedIndex >= index,
          );
          await group.run(1000);
        }
        assertLinearizable(group);
      }
    },
  );

  where('witnesses', 'lead nobody, and hold no state', async (bench) => {
    const group = await pairWithWitness(bench);
    const witness = group.replica('w');
    assert.equal(witness.status().role, 'witness');
    await thrown(() => witness.query({ op: 'get', key: 'k' }), 'ERR_WITNESS');
    assert.equal(
      (await thrown(() => witness.submit({ op: 'put', key: 'k', value: 1 }), 'ERR_WITNESS')).fate,
      'refused',
    );
    for (const id of ['a', 'b']) group.crash(id);
    await group.run(5000);
    assert.equal(group.leader(), undefined);
    for (const id of ['a', 'b']) group.restart(id);
    assert.equal(await get(group, 'b', 'k'), 'both');
  });

  where(
    'witnesses',
    'have their log go when they are asked to, and hold nothing after that',
    async (bench) => {
      const group = await pairWithWitness(bench);
      for (let n = 0; n < 30; n++) await put(group, 'a', 'k', 'v'.repeat(1000));
      await group.run(1000);
      const { appliedIndex } = group.replica('w').status();
      const { index } = await group.settle(group.replica('w').compact());
      assert.ok(index >= appliedIndex && index >= 30, `${index} of ${appliedIndex}`);
      assert.ok(group.disk('w').usedBytes > 0);
      group.crash('w');
      group.restart('w');
      await put(group, 'b', 'k', 'again');
      group.crash('a');
      await put(group, 'b', 'k', 'with the witness');
      assert.equal(await get(group, 'b', 'k'), 'with the witness');
      group.restart('a');
    },
  );

  if (features.witnesses === true) return;
  test('are refused by a consensus that has none, and members do not become any', async (bench) => {
    const mesh = await joinMesh({
      id: 'w',
      cluster: 'conformance',
      secret: 'a secret of more than sixteen bytes',
      transport: memoryNetwork(),
    });
    try {
      const open = openReplica({
        mesh,
        group: 'g',
        stateMachine: ledger(),
        storage: memoryStorage(),
        consensus: bench.consensus(),
        join: true,
        as: 'witness',
      });
      await thrown(() => open, 'ERR_CONFIG');
    } finally {
      await mesh.close();
    }
    const group = await bench.elected();
    const add = group.replica('a').addMember('w', { as: 'witness', timeout: 3000 });
    const error: unknown = await group.settle(
      add.then(
        () => undefined,
        (reason: unknown) => reason,
      ),
    );
    assert.ok(
      error instanceof QuorateError && ['ERR_MEMBERSHIP', 'ERR_CONFIG'].includes(error.code),
      String(error),
    );
    await put(group, 'b', 'k', 1);
  });
}
