/**
 * The leadership moves over real processes under load, when it is asked for and when a leader closes: nobody's call fails, and what
 * all were answered is linearizable.
 */
import { expect } from 'chai';
import { analyzeLinearizability } from '../../lib/testing/index.js';
import { Cluster, type Member } from './support/cluster.js';
import type { Recorded } from './support/messages.js';

const transfers = 10;
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const load = { type: 'write', writers: 2, think: 8 } as const;

/** Every write adds one to what reads answer. */
const counter = {
  init: () => 0,
  step: (state: number, input: Recorded['input'], output: number) => {
    const next = input === 'write' ? state + 1 : state;
    return { ok: output === next, state: next };
  },
};

describe('a leadership that moves under load', function () {
  this.timeout(300_000);
  let cluster: Cluster;
  afterEach(() => cluster.destroy());

  async function leaderOf(members: readonly Member[]): Promise<Member> {
    const end = Date.now() + 60_000;
    for (;;) {
      const found = await Promise.all(members.map((member) => member.status()));
      const at = found.findIndex(({ role }) => role === 'leader');
      if (at >= 0) return members[at]!;
      if (Date.now() > end) expect.fail('nobody leads');
      await sleep(20);
    }
  }

  /** Ends the load of a member; answers what was recorded. */
  async function stop(member: Member): Promise<readonly Recorded[]> {
    const stopped = member.expect('stopped');
    member.send({ type: 'stop' });
    await stopped;
    const recorded = member.expect('recorded');
    member.send({ type: 'recorded' });
    return (await recorded).calls;
  }

  it(`fails no call through ${transfers} transfers and three leaders that close`, async () => {
    cluster = await Cluster.start(['a', 'b', 'c'], { snapshotLogBytes: 64 * 1024 });
    const { members } = cluster;
    await leaderOf(members);
    for (const member of members) member.send(load);
    await sleep(500);

    let moved = 0;
    for (let tries = 0; moved < transfers && tries < 5 * transfers; tries++) {
      const leader = await leaderOf(members);
      const others = members.filter((member) => member !== leader);
      const to = others[tries % 2]!;
      // Asked of each of the three in turn.
      const code = await members[tries % 3]!.ask({ type: 'transfer', to: to.setup.id });
      expect(['', 'ERR_TRANSFER_FAILED', 'ERR_CONFIG']).to.include(code);
      if (code === '') moved++;
      await sleep(50 + Math.random() * 100);
    }
    expect(moved, 'transfers that came about').to.equal(transfers);

    const calls: Recorded[] = [];
    for (let closed = 0; closed < 3; closed++) {
      const leader = await leaderOf(members);
      const others = members.filter((member) => member !== leader);
      calls.push(...(await stop(leader)));
      expect(await leader.close(), 'its exit code').to.equal(0);
      await leaderOf(others);
      await sleep(200);
      await leader.start();
      leader.send(load);
      await sleep(300);
    }
    for (const member of members) calls.push(...(await stop(member)));

    for (const member of members)
      expect(member.failed, `calls of ${member.setup.id} that failed`).to.deep.equal([]);
    expect(calls.length).to.be.above(300);
    const { verdict, text } = analyzeLinearizability(counter, calls, { timeoutMs: 60_000 });
    expect(verdict, text).to.equal('ok');
    const checks = members.map((member) => member.expect('checked'));
    for (const member of members)
      member.send({ type: 'check', ids: members.flatMap(({ acknowledged }) => acknowledged) });
    for (const { odd, doubled } of await Promise.all(checks)) expect([odd, doubled]).to.deep.equal([[], []]);
  });
});
