/** Three-phase commit over the mesh, in the simulator. */
import { expect } from 'chai';
import { memoryStorage, openSites, transact, type TransactionProgress } from '../../../../lib/index.js';
import { QuorateError } from '../../../../lib/errors.js';
import { siteDeskOf } from '../../../../lib/transactions/threePhase/desk.js';
import { Stage } from './stage.js';

/** After healing: what is left of a doubled patience, two rounds of attempts, a pause between two tellings. */
const BOUND_MS = 12_000;

async function failure(call: () => unknown): Promise<QuorateError> {
  try {
    await call();
  } catch (error) {
    if (error instanceof QuorateError) return error;
    throw error;
  }
  throw new Error('it did not fail');
}

describe('three-phase commit over a mesh', function () {
  this.timeout(60_000);

  it('commits at all nodes, or, when one votes no, at none; and then nobody keeps anything', async () => {
    const stage = await new Stage(1).ready();
    const progress: TransactionProgress[] = [];
    const yes = stage.begin('a', ['a', 'b', 'c'], { onProgress: (each) => progress.push(each) });
    await stage.simulation.run(300);
    expect(yes.outcome).to.equal('committed');
    expect([...stage.outcomes(yes.id!)]).to.deep.equal(['commit']);
    expect(stage.nodes.map((node) => stage.vault(node).payloads.get(yes.id!))).to.deep.equal([0, 1, 2]);
    expect(progress.map(({ type }) => type)).to.deep.equal(['attempt', 'preparing', 'decided', 'finished']);
    expect(progress.at(-1)).to.deep.include({ complete: true });
    stage.vault('c').vote = () => false;
    const no = stage.begin('b', ['a', 'c']);
    await stage.simulation.run(300);
    expect([no.outcome, no.error?.code, no.error?.reason]).to.deep.equal([
      'refused',
      'ERR_TRANSACTION_ABORTED',
      'RESOURCE',
    ]);
    expect(no.error!.data).to.deep.equal({ by: 'c' });
    expect([...stage.outcomes(no.id!)]).to.deep.equal(['abort']);
    expect(stage.settled).to.equal(true);
    for (const node of ['a', 'b', 'c']) {
      expect(await stage.at(node).outcomeOf(yes.id!)).to.equal('commit');
      expect(stage.at(node).metrics()).to.deep.equal({
        open: 0,
        inDoubt: 0,
        unfinished: 0,
        committed: 1,
        aborted: 1,
      });
    }
    stage.check([yes, no]);
  });

  it('a function that throws, enlists nothing, or aborts, asks nobody', async () => {
    const stage = await new Stage(2).ready();
    const asked: string[] = [];
    stage.filter = (_, __, { kind }) => asked.push(kind) < 0;
    const sites = stage.at('a');
    const parties = { there: sites.at('b', 'vault') };
    const options = { protocol: 'three-phase' } as const;
    expect(await stage.settle(transact(parties, () => 7, options))).to.equal(7);
    const error = await failure(() =>
      stage.settle(
        transact(
          parties,
          ({ there }, { abort }) => {
            there.enlist({ n: 1 });
            abort('LATER', { at: 5 });
          },
          options,
        ),
      ),
    );
    expect([error.code, error.reason, error.fate, error.data]).to.deep.equal([
      'ERR_TRANSACTION_ABORTED',
      'LATER',
      'refused',
      { at: 5 },
    ]);
    expect(asked).to.deep.equal([]);
  });

  it('says what it cannot take', async () => {
    const stage = await new Stage(3).ready();
    const sites = stage.at('a');
    const site = sites.at('b', 'vault');
    const run = (parties: unknown, options: object = {}, fn: (handles: never) => void = () => undefined) =>
      failure(() =>
        stage.settle(transact(parties as never, fn as never, { protocol: 'three-phase', ...options })),
      );
    const config = async (promise: Promise<QuorateError>): Promise<string> => {
      const { code, message } = await promise;
      expect(code).to.equal('ERR_CONFIG');
      return message;
    };
    expect(await config(run({}))).to.match(/^replicas must be at least one site, got 0/);
    expect(await config(run({ x: {} }))).to.match(/^replicas must be sites made by `at`/);
    expect(await config(run([site, stage.at('b').at('b', 'vault')]))).to.match(
      /sites of one TransactionSites/,
    );
    expect(await config(run([site], { form: 'loose' }))).to.equal(
      "form must be 'quorum' or 'plain', got \"loose\"",
    );
    expect(await config(run([site], { requestId: 'r' }))).to.match(/^requestId must be left out/);
    expect(await config(run([site], { timeout: 0 }))).to.match(/^timeout must be/);
    expect(await config(run([site], { patience: 0 }))).to.match(/^patience must be/);
    expect(await config(run([site], { protocol: 'four-phase' }))).to.match(/^protocol must be/);
    expect(await config(run([site], { protocol: 'two-phase' }))).to.match(
      /^protocol must be 'three-phase' for sites/,
    );
    expect(await config(failure(() => sites.at('b', '')))).to.match(/^resource must be/);
    expect(await config(failure(() => sites.at('b b', 'vault')))).to.match(/^node must be/);
    expect(await config(failure(() => sites.abandon('a')))).to.match(/^node must be another node's id/);
    expect(await config(failure(() => sites.outcomeOf('')))).to.match(/^id must be/);
    const twice = (handles: never): void => {
      const [handle] = handles as [{ enlist: (payload: unknown) => void }];
      handle.enlist(1);
      handle.enlist(2);
    };
    expect(await config(run([site], {}, twice))).to.match(
      /^resource must be one that does not take part yet/,
    );
    const large = await run([site], {}, (handles) =>
      (handles as [{ enlist: (payload: unknown) => void }])[0].enlist('x'.repeat(70_000)),
    );
    expect([large.code, large.fate]).to.deep.equal(['ERR_TOO_LARGE', 'refused']);
    const mesh = stage.simulation.mesh('a');
    const again = await failure(() => stage.settle(openSites({ mesh, storage: memoryStorage() })));
    expect(again.code).to.equal('ERR_GROUP_EXISTS');
    expect((await failure(() => openSites({ mesh, storage: {} as never }))).message).to.match(
      /^storage must be/,
    );
    const closed = stage.at('c');
    await stage.settle(closed.close());
    await stage.settle(closed.close());
    expect((await failure(() => closed.outcomeOf('x'))).code).to.equal('ERR_CLOSED');
    await stage.simulation.run(500);
    const gone = stage.begin('a', ['b', 'c'], { timeout: 300 });
    await stage.simulation.run(500);
    expect([gone.error?.code, gone.error?.fate, gone.error?.data]).to.deep.equal([
      'ERR_NOT_READY',
      'refused',
      { nodes: ['c'] },
    ]);
    stage.simulation.check();
  });

  it('a site without the resource votes no, and says so', async () => {
    const stage = await new Stage(4).ready();
    const warnings: string[] = [];
    stage.at('b').on('warning', ({ message }) => warnings.push(message));
    const sites = stage.at('a');
    const error = await failure(() =>
      stage.settle(
        transact([sites.at('b', 'safe')], ([safe]) => safe.enlist(1), { protocol: 'three-phase' }),
      ),
    );
    expect(error.code).to.equal('ERR_TRANSACTION_ABORTED');
    expect(warnings[0]).to.match(/needs the resource safe, which this node does not have/);
    // Nor can it undo what was never done: it is listed as long as the resource is not there.
    await stage.simulation.run(1000);
    expect(stage.at('b').unfinished()[0]).to.deep.include({ outcome: 'abort', resources: ['safe'] });
    expect(stage.at('a').unfinished()[0]).to.deep.include({ outcome: 'abort', waitsFor: ['b'] });
  });

  it('a resource that fails to carry it out is told again, and the caller waits for it', async () => {
    const stage = await new Stage(5).ready();
    stage.vault('b').refuseOutcomes = 3;
    const told = stage.begin('a', ['b', 'c']);
    await stage.simulation.run(200);
    expect(told.outcome).to.equal('under way');
    expect(stage.at('a').unfinished()[0]).to.deep.include({ outcome: 'commit', waitsFor: ['b'] });
    await stage.simulation.run(2000);
    expect(told.outcome).to.equal('committed');
    expect(stage.settled).to.equal(true);
    stage.check([told]);
  });

  it('ends by a time-out or a signal: refused before anybody was asked to prepare, ambiguous after', async () => {
    const stage = await new Stage(6).ready();
    stage.vault('b').vote = () => new Promise(() => undefined);
    const slow = stage.begin('a', ['b', 'c'], { timeout: 300, patience: 3000 });
    await stage.simulation.run(500);
    expect([slow.error?.code, slow.error?.fate]).to.deep.equal(['ERR_TIMEOUT', 'refused']);
    const stop = new AbortController();
    const aborted = stage.begin('a', ['b', 'c'], { signal: stop.signal, patience: 3000 });
    await stage.simulation.run(100);
    stop.abort();
    await stage.simulation.run(100);
    expect([aborted.error?.code, aborted.error?.fate]).to.deep.equal(['ERR_ABORTED', 'refused']);
    await stage.simulation.run(3000);
    expect(stage.settled).to.equal(true);
    stage.vault('b').vote = () => true;
    stage.filter = (_, __, message) => message.kind !== 'step' || message.message.type !== 'prepare';
    const late = stage.begin('a', ['b', 'c'], { timeout: 300, patience: 1000 });
    await stage.simulation.run(500);
    expect([late.error?.code, late.error?.fate]).to.deep.equal(['ERR_TIMEOUT', 'ambiguous']);
    expect(stage.at('b').inDoubt()[0]).to.deep.include({ id: late.id, sites: ['a', 'b', 'c'] });
    expect(late.error!.data).to.deep.equal({ id: late.id });
    const outcome = stage.settle(stage.at('b').outcomeOf(late.id!));
    stage.filter = () => true;
    expect(await outcome).to.be.oneOf(['commit', 'abort']);
    await stage.simulation.run(BOUND_MS);
    expect(stage.settled).to.equal(true);
    stage.check([slow, aborted, late]);
  });

  it('the quorum form goes on without its coordinator, and without a part that is cut off', async () => {
    const stage = await new Stage(7).ready();
    stage.filter = (from, to, message) => {
      if (message.kind !== 'step' || message.message.type !== 'prepare' || from !== 'a') return true;
      if (to !== 'b') return false; // c is not asked any more
      stage.simulation.after(0, () => stage.crash('a'));
      return true;
    };
    const told = stage.begin('a', ['b', 'c']);
    await stage.simulation.run(5000);
    // b is prepared, which c learns by its answer: together they are a majority.
    expect([...stage.outcomes(told.id!)]).to.deep.equal(['commit']);
    expect(stage.at('c').metrics().inDoubt).to.equal(0);
    expect(stage.at('c').unfinished()[0]).to.deep.include({ outcome: 'commit', waitsFor: ['a'] });
    stage.restart('a');
    expect(await stage.simulation.runUntil(() => stage.settled, BOUND_MS)).to.equal(true);
    expect(await stage.at('b').outcomeOf(told.id!)).to.equal('commit');
    stage.check([told]);
  });

  for (const form of ['plain', 'quorum'] as const)
    it(`a partition behind the first message to prepare ${form === 'plain' ? 'splits the plain form' : 'does not split the quorum form'}`, async () => {
      const stage = await new Stage(8).ready();
      stage.filter = (_, to, message) => {
        if (message.kind !== 'step' || message.message.type !== 'prepare') return true;
        stage.simulation.partition([['a', 'b', 'z'], ['c']]);
        return to !== 'c';
      };
      const told = stage.begin('a', ['a', 'b', 'c'], { form, timeout: 2000 });
      await stage.simulation.run(8000);
      const seen = stage.nodes.map((node) => stage.vault(node).ended.get(told.id!));
      if (form === 'plain') {
        // That is what it is labelled for.
        expect(seen).to.deep.equal(['commit', 'commit', 'abort']);
        return;
      }
      expect(seen).to.deep.equal(['commit', 'commit', undefined]);
      expect(stage.at('c').metrics().inDoubt).to.equal(1);
      stage.filter = () => true;
      stage.simulation.heal();
      expect(await stage.simulation.runUntil(() => stage.settled, BOUND_MS)).to.equal(true);
      stage.check([told]);
    });

  it('who has lost its disk has no say in what it may have voted for', async () => {
    const stage = await new Stage(9).ready();
    // All vote yes, a and b are prepared and commit, c hears of nothing; b loses its disk, a is down.
    stage.filter = (_, to, message) =>
      message.kind !== 'step' || (to === 'c' ? message.message.type === 'vote?' : true);
    const told = stage.begin('a', ['b', 'c']);
    const committed = (): boolean => stage.vault('b').ended.get(told.id!) === 'commit';
    expect(await stage.simulation.runUntil(committed, 3000)).to.equal(true);
    stage.crash('a');
    stage.filter = () => true;
    stage.restart('b', true);
    await stage.simulation.run(10_000);
    // b would say that it never voted: then c would abort.
    expect(stage.vault('c').ended.get(told.id!)).to.equal(undefined);
    expect(stage.at('c').metrics().inDoubt).to.equal(1);
    stage.restart('a');
    expect(await stage.simulation.runUntil(() => stage.settled, BOUND_MS)).to.equal(true);
    expect([...stage.outcomes(told.id!)]).to.deep.equal(['commit']);
  });

  it('a node that never comes back is waited for until it is abandoned', async () => {
    const stage = await new Stage(10).ready();
    stage.filter = (from, _, message) => {
      if (from === 'c' && message.kind === 'done') stage.simulation.after(0, () => stage.crash('c'));
      return from !== 'c' || message.kind !== 'done';
    };
    const told = stage.begin('a', ['b', 'c'], { timeout: 1000 });
    await stage.simulation.run(20_000);
    expect(told.outcome).to.equal('committed');
    for (const node of ['a', 'b']) {
      expect(stage.at(node).unfinished()[0]).to.deep.include({ waitsFor: ['c'], resources: [] });
      stage.at(node).abandon('c');
      expect(stage.at(node).metrics().unfinished).to.equal(0);
    }
    // On disk, too.
    await stage.simulation.run(500);
    stage.restart('a');
    await stage.simulation.run(3000);
    expect(stage.at('a').metrics()).to.deep.include({ open: 0, unfinished: 0 });
  });

  it('a peer that breaks the protocol loses its link', async () => {
    const stage = await new Stage(11).ready();
    stage.filter = (_, __, message) => message.kind !== 'step' || message.message.type !== 'prepare';
    const told = stage.begin('a', ['b', 'c'], { patience: 60_000, timeout: 60_000 });
    await stage.simulation.run(300);
    stage.filter = () => true;
    const lost: string[] = [];
    stage.simulation.mesh('b').on('peer:unreachable', (peer) => lost.push(peer));
    // A ballot of the coordinator's, from another site.
    siteDeskOf(stage.simulation.mesh('c')).send('b', {
      kind: 'step',
      id: told.id!,
      message: { type: 'prepare', ballot: 0, to: 'commit' },
      plan: undefined,
      tasks: undefined,
    });
    await stage.simulation.run(500);
    expect(lost).to.deep.equal(['c']);
    expect(stage.at('b').inDoubt().length).to.equal(1);
    await stage.simulation.run(10_000);
    expect(
      stage.simulation
        .mesh('b')
        .peers()
        .find(({ id }) => id === 'c')?.state,
    ).to.equal('up');
  });

  it('a commit of what a site has not voted for costs the link, and is not carried out', async () => {
    const stage = await new Stage(12).ready();
    stage.vault('b').vote = () => new Promise(() => undefined);
    const told = stage.begin('a', ['b', 'c'], { patience: 1000, timeout: 3000 });
    await stage.simulation.run(300);
    const lost: string[] = [];
    stage.simulation.mesh('b').on('peer:unreachable', (peer) => lost.push(peer));
    siteDeskOf(stage.simulation.mesh('c')).send('b', {
      kind: 'step',
      id: told.id!,
      message: { type: 'outcome', outcome: 'commit' },
      plan: undefined,
      tasks: undefined,
    });
    await stage.simulation.run(BOUND_MS);
    expect(lost).to.deep.equal(['c']);
    expect([...stage.outcomes(told.id!)]).to.deep.equal(['abort']);
    expect(stage.settled).to.equal(true);
    stage.check([told]);
  });

  it('after a long partition nobody waits out the pauses between attempts, which have grown', async () => {
    const stage = await new Stage(13).ready();
    const { simulation } = stage;
    stage.filter = (_, __, message) => {
      if (message.kind !== 'step' || message.message.type !== 'prepare') return true;
      simulation.partition([['a'], ['b'], ['c'], ['z']]);
      return false;
    };
    const told = stage.begin('a', ['b', 'c'], { patience: 2000 });
    await simulation.run(200_000);
    expect(stage.nodes.map((node) => stage.at(node).metrics().inDoubt)).to.deep.equal([1, 1, 1]);
    stage.filter = () => true;
    simulation.heal();
    const linked = (): boolean =>
      stage.nodes.every((node) => {
        const up = simulation
          .mesh(node)
          .peers()
          .filter(({ id, state }) => state === 'up' && id !== 'z');
        return up.length === 2;
      });
    expect(await simulation.runUntil(linked, 60_000)).to.equal(true);
    // Twice the patience, and some round trips; the pauses were 128 s long.
    expect(await simulation.runUntil(() => stage.settled, 6000)).to.equal(true);
    stage.check([told]);
  });
});
