/** Calls of `compact` on the app's side of the door: what they ask for, and how each ends. */
import { expect } from 'chai';
import type { AppNotice } from '../../../lib/engine/door.js';
import { NO_EPOCH, type SnapshotMeta } from '../../../lib/consensus/consensus.js';
import { foundingMembership } from '../../../lib/consensus/membership.js';
import { QuorateError } from '../../../lib/errors.js';
import { Compactions } from '../../../lib/replica/compactions.js';
import type { CallOptions } from '../../../lib/replica/replicaTypes.js';
import { Virtual } from '../support/virtual.js';

describe('calls for a snapshot', () => {
  let environment: Virtual;
  let said: AppNotice[];
  let calls: Compactions;
  let ends: Record<string, unknown>;
  const applier: { appliedIndex: number; meta: SnapshotMeta | undefined } = {
    appliedIndex: 0,
    meta: undefined,
  };

  beforeEach(() => {
    environment = new Virtual(1);
    said = [];
    ends = {};
    const membership = foundingMembership(['a']);
    applier.appliedIndex = 5;
    applier.meta = { index: 5, epoch: NO_EPOCH, time: 1, membership, protocol: 'raft' };
    calls = new Compactions(environment, applier, (notice) => said.push(notice));
  });

  /** Asks, and notes under a name how it ends. */
  function ask(name: string, limits: CallOptions = {}): Promise<void> {
    return calls.ask({ timeout: 1000, ...limits }).then(
      ({ index }) => void (ends[name] = index),
      (error: unknown) => void (ends[name] = error instanceof QuorateError ? error.code : error),
    );
  }
  const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

  it('name what is applied, and end when that is covered', async () => {
    void ask('one');
    applier.appliedIndex = 8;
    void ask('two');
    expect(said).to.deep.equal([
      { type: 'compact', token: 1, index: 5 },
      { type: 'compact', token: 2, index: 8 },
    ]);
    calls.done(4);
    await settled();
    expect(ends).to.deep.equal({});
    calls.done(7);
    await settled();
    expect(ends).to.deep.equal({ one: 7 });
    calls.done(8);
    await settled();
    expect(ends).to.deep.equal({ one: 7, two: 8 });
  });

  it('fail up to the one that is named; later ones wait on', async () => {
    for (const name of ['one', 'two', 'three']) void ask(name);
    calls.failed(2, new QuorateError('ERR_STORAGE_FULL', 'scripted'));
    await settled();
    expect(ends).to.deep.equal({ one: 'ERR_STORAGE_FULL', two: 'ERR_STORAGE_FULL' });
    calls.done(5);
    await settled();
    expect(ends['three']).to.equal(5);
  });

  it('end by their time-out, their signal, or the end of the replica', async () => {
    const controller = new AbortController();
    void ask('late', { timeout: 300 });
    void ask('aborted', { signal: controller.signal });
    void ask('closed');
    await environment.run(299);
    controller.abort();
    await settled();
    expect(ends).to.deep.equal({ aborted: 'ERR_ABORTED' });
    await environment.run(2);
    await settled();
    expect(ends).to.deep.equal({ aborted: 'ERR_ABORTED', late: 'ERR_TIMEOUT' });
    calls.close('ERR_CLOSED', 'the replica was closed');
    await settled();
    expect(ends['closed']).to.equal('ERR_CLOSED');
    await ask('gone', { signal: controller.signal });
    expect(ends['gone']).to.equal('ERR_ABORTED');
    // Nothing of them is left.
    calls.done(9);
    await environment.run(5000);
    expect(ends).to.include({ late: 'ERR_TIMEOUT', aborted: 'ERR_ABORTED', closed: 'ERR_CLOSED' });
  });

  it('are refused where there is nothing, too many wait, or the time-out is out of range', async () => {
    await ask('bad', { timeout: 0 });
    expect(ends['bad']).to.equal('ERR_CONFIG');
    for (let n = 0; n < 64; n++) void ask(`${n}`);
    await ask('more');
    expect(ends['more']).to.equal('ERR_OVERLOADED');
    calls.done(5);
    await settled();
    applier.meta = undefined;
    await ask('early');
    expect(ends['early']).to.equal('ERR_NOT_READY');
    expect(said).to.have.length(64);
  });
});
