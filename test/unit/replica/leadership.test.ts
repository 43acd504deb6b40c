/** Handing over the leadership, over a mesh in memory; test/unit/testing/simulation/transfer.test.ts has the faults. */
import { expect } from 'chai';
import type { AppNotice, GroupStatus } from '../../../lib/engine/door.js';
import { QuorateError, type ErrorCode } from '../../../lib/errors.js';
import { foundingMembership } from '../../../lib/consensus/membership.js';
import { counter } from '../../../lib/machines/counter.js';
import { joinMesh } from '../../../lib/mesh/joinMesh.js';
import { memoryNetwork } from '../../../lib/mesh/memory/network.js';
import type { Mesh } from '../../../lib/mesh/mesh.js';
import { raft } from '../../../lib/replica/consensus.js';
import { LeaderCalls } from '../../../lib/replica/leaderCalls.js';
import { transferTo } from '../../../lib/replica/transferCall.js';
import { openReplica } from '../../../lib/replica/openReplica.js';
import type { Replica } from '../../../lib/replica/replica.js';
import { memoryStorage } from '../../../lib/storage/memoryStorage.js';
import { Virtual } from '../support/virtual.js';

const ids = ['a', 'b', 'c'];

type Counter = ReturnType<typeof counter>;

describe('the leadership of a group', () => {
  let meshes: Map<string, Mesh>;
  let replicas: Map<string, Replica<Counter>>;

  beforeEach(() => {
    meshes = new Map();
    replicas = new Map();
  });

  afterEach(async () => {
    await Promise.all([...meshes.values()].map((mesh) => mesh.close()));
  });

  async function open(priorities: Readonly<Record<string, number>> = {}, electionTimeoutMs = 300) {
    const transport = memoryNetwork();
    for (const id of ids) {
      const mesh = await joinMesh({
        id,
        cluster: 'test',
        secret: 'a secret of more than 16 bytes',
        transport,
      });
      meshes.set(id, mesh);
      const priority = priorities[id] ?? 0;
      const consensus = raft({ electionTimeoutMs, heartbeatMs: Math.floor(electionTimeoutMs / 6), priority });
      const own = { stateMachine: counter(), storage: memoryStorage(), consensus };
      replicas.set(id, await openReplica({ mesh, group: 'g', members: ids, ...own }));
    }
    // Who gets an entry in is on record before it: from then on any of them may lead.
    for (const replica of replicas.values()) await replica.submit({ op: 'add', name: 'n', by: 0 });
  }

  const leader = (): string => [...replicas.values()].find((one) => one.status().role === 'leader')?.id ?? '';
  const rest = (): string[] => ids.filter((id) => id !== leader());

  it('is handed over when the mesh of the leader closes, too', async () => {
    await open({}, 2000);
    const old = leader();
    await meshes.get(old)!.close();
    expect(leader()).to.be.oneOf(ids.filter((id) => id !== old));
  });

  it('does not change any more at a replica that is closed', async () => {
    await open();
    const [one] = rest() as [string];
    await replicas.get(one)!.close();
    const error: unknown = await replicas
      .get(one)!
      .transferLeadership()
      .catch((reason: unknown) => reason);
    expect(error).to.have.property('code', 'ERR_CLOSED');
  });
});

describe('calls for another leader', () => {
  const membership = foundingMembership(ids);

  class Rig {
    readonly environment = new Virtual(1);
    readonly said: AppNotice[] = [];
    readonly calls = new LeaderCalls(this.environment, (notice) => this.said.push(notice));

    status(leader: string, n = 1, contact = 1): this {
      const epoch = { config: 0, n, priority: 0, node: leader };
      const status: GroupStatus = {
        role: 'follower',
        leader,
        epoch,
        quorum: true,
        membership,
        stable: membership,
        quiet: false,
        contact,
      };
      this.calls.statusChanged(status);
      return this;
    }

    call(to: string, once = false): { end: ErrorCode | 'done' | undefined; message: string } {
      const seen: { end: ErrorCode | 'done' | undefined; message: string } = { end: undefined, message: '' };
      this.calls.ask(transferTo(to, once), { timeout: 1000 }).then(
        () => (seen.end = 'done'),
        (error: unknown) => {
          const { code, message } = error as QuorateError;
          Object.assign(seen, { end: code, message });
        },
      );
      return seen;
    }

    asked(): string[] {
      return this.said
        .splice(0)
        .map((notice) =>
          notice.type === 'request' && notice.request.type === 'transfer' ? notice.request.to : notice.type,
        );
    }
  }

  it('ask each leader, and each way to it, once', () => {
    const rig = new Rig();
    rig.call('c');
    expect(rig.asked(), 'nothing is known yet').to.deep.equal([]);
    rig.status('', 1, 0).status('b', 1, 0);
    expect(rig.asked(), 'no way to it').to.deep.equal([]);
    rig.status('b').status('b');
    expect(rig.asked()).to.deep.equal(['c']);
    rig.status('b', 1, 2);
    rig.status('a', 2, 3);
    rig.status('a', 3, 3);
    expect(rig.asked()).to.deep.equal(['c', 'c', 'c']);
  });

  it('end when the one that was named leads, or any other', async () => {
    const rig = new Rig().status('b');
    const named = rig.call('c');
    const any = rig.call('');
    rig.status('', 2, 0);
    rig.status('a', 2);
    await rig.environment.run(0);
    expect([named.end, any.end]).to.deep.equal([undefined, 'done']);
    rig.status('c', 3);
    await rig.environment.run(0);
    expect(named.end).to.equal('done');
  });

  for (const why of ['notLeader', 'transferring', 'preparing', 'configPending', 'stopped'] as const)
    it(`ask again for what passes: ${why}`, async () => {
      const rig = new Rig().status('b');
      const call = rig.call('c');
      rig.asked();
      rig.calls.refused(1, why);
      rig.calls.refused(1, why);
      await rig.environment.run(40);
      expect(rig.asked()).to.deep.equal([]);
      await rig.environment.run(20);
      expect(rig.asked()).to.deep.equal(['c']);
      expect(call.end).to.equal(undefined);
      rig.calls.refused(1, why);
      await rig.environment.run(1000);
      expect(call.end).to.equal('ERR_TIMEOUT');
      expect(call.message).to.match(/^c does not lead after 1000 ms; the last answer: ./);
    });

  for (const why of ['notVoter', 'notLinked', 'lagging', 'gaveUp'] as const)
    it(`end with what does not pass: ${why}`, async () => {
      const rig = new Rig().status('b');
      const named = rig.call('c');
      const any = rig.call('');
      rig.calls.refused(1, why);
      rig.calls.refused(2, why);
      rig.calls.refused(2, why);
      rig.calls.refused(77, why);
      await rig.environment.run(0);
      for (const { end, message } of [named, any]) {
        expect(end).to.equal('ERR_TRANSFER_FAILED');
        expect(message).to.match(/^the leadership stays where it is: \w+/);
      }
      expect(named.message).to.contain('c');
    });

  it('leave no timer and no listener behind when they end', async () => {
    const rig = new Rig().status('b');
    const { environment } = rig;
    const open = new Set<number>();
    let timers = 0;
    const setTimer = environment.setTimer.bind(environment);
    environment.setTimer = (delayMs, callback) => {
      const timer = ++timers;
      open.add(timer);
      const inner = setTimer(delayMs, callback);
      return {
        cancel: () => {
          open.delete(timer);
          inner.cancel();
        },
      };
    };
    const { signal } = new AbortController();
    let listeners = 0;
    const add = signal.addEventListener.bind(signal);
    const remove = signal.removeEventListener.bind(signal);
    signal.addEventListener = (...args: Parameters<typeof add>) => {
      listeners++;
      add(...args);
    };
    signal.removeEventListener = (...args: Parameters<typeof remove>) => {
      listeners--;
      remove(...args);
    };
    const calls = [
      rig.calls.ask(transferTo('c'), { timeout: 1000, signal }),
      rig.calls.ask(transferTo(''), { timeout: 1000 }),
    ];
    expect([open.size, listeners]).to.deep.equal([2, 1]);
    rig.status('c', 2);
    await Promise.all(calls);
    expect([open.size, listeners]).to.deep.equal([0, 0]);
  });

  it('end with the first refusal when there is no time', async () => {
    const rig = new Rig().status('b');
    const call = rig.call('', true);
    rig.calls.refused(1, 'preparing');
    await rig.environment.run(0);
    expect(call.end).to.equal('ERR_TRANSFER_FAILED');
  });

  it('end with the replica, and ask nothing after that', async () => {
    const rig = new Rig().status('b');
    const call = rig.call('c');
    rig.calls.refused(1, 'transferring');
    rig.asked();
    rig.calls.close('ERR_CLOSED', 'the replica was closed');
    await rig.environment.run(2000);
    expect(call.end).to.equal('ERR_CLOSED');
    expect(rig.asked()).to.deep.equal([]);
  });
});
