/** The submitter's rules one at a time; room.test.ts has them all at once, under a seed. */
import { expect } from 'chai';
import { foundingMembership } from '../../../lib/consensus/membership.js';
import type { Proposal } from '../../../lib/engine/door.js';
import type { QuorateError } from '../../../lib/errors.js';
import { batchCodec, cbor } from '../../../lib/replica/codec.js';
import { Waiter } from '../../../lib/replica/pending.js';
import { parseRequestId, type SequenceId } from '../../../lib/replica/requestId.js';
import { SessionTable } from '../../../lib/replica/sessions.js';
import { Submitter } from '../../../lib/replica/submitter.js';
import { Virtual } from '../support/virtual.js';

const membership = foundingMembership(['a', 'b', 'c']);
const SESSION = 7;

class Rig {
  readonly environment = new Virtual(1);
  readonly submitter: Submitter;
  readonly nonce: string;

  constructor(maxPendingBytes = 1 << 20) {
    const limits = {
      maxPendingCommands: 100,
      maxPendingBytes,
      maxCommandBytes: 1000,
      submitTimeoutMs: 60_000,
    };
    this.submitter = new Submitter('a', this.environment, batchCodec(cbor()), limits, () => undefined);
    this.route(1, 1);
    const first = this.submit('first');
    const [registration] = this.collect();
    expect(registration!.token).to.equal(0);
    this.nonce = /[0-9a-f]{32}/.exec(Buffer.from(registration!.data).toString('latin1'))![0];
    this.submitter.registered(SESSION, 'a', 'another nonce');
    expect(this.submitter.session).to.equal(0);
    this.submitter.registered(SESSION, 'b', this.nonce);
    expect(this.submitter.session).to.equal(0);
    this.submitter.registered(SESSION, 'a', this.nonce);
    expect(this.submitter.session).to.equal(SESSION);
    expect(this.collect()).to.have.lengthOf(1);
    this.submitter.applied(SESSION, 1, ['done']);
    expect(first.outcome).to.equal('done');
  }

  route(n: number, contact: number): void {
    const epoch = { config: 0, n, priority: 0, node: 'b' };
    this.submitter.statusChanged({
      role: 'follower',
      leader: 'b',
      epoch,
      quorum: true,
      membership,
      stable: membership,
      quiet: false,
      contact,
    });
  }

  collect(): Proposal[] {
    const out: Proposal[] = [];
    this.submitter.collect(out);
    return out;
  }

  submit(command: unknown, id?: SequenceId): { waiter: Waiter; outcome?: unknown; error?: QuorateError } {
    const seen: { waiter: Waiter; outcome?: unknown; error?: QuorateError } = {
      waiter: new Waiter(
        (outcome) => (seen.outcome = outcome),
        (error) => (seen.error = error as QuorateError),
      ),
    };
    if (id) this.submitter.retry(id, command, seen.waiter);
    else this.submitter.add(command, undefined, seen.waiter);
    return seen;
  }
}

describe('the submitter', () => {
  it('sends a batch again, as it was, when the way to the leader is another', () => {
    const rig = new Rig();
    rig.submit('x');
    const [sent] = rig.collect();
    rig.route(1, 1);
    expect(rig.collect()).to.deep.equal([]);
    rig.route(1, 2);
    const [again] = rig.collect();
    expect(again!.data).to.equal(sent!.data);
    expect(again!.token).not.to.equal(sent!.token);
    expect(rig.collect()).to.deep.equal([]);
  });

  it('waits under a new leader until what that one had in its log is applied here', () => {
    const rig = new Rig();
    rig.submit('x');
    rig.collect();
    rig.route(2, 2);
    expect(rig.collect()).to.deep.equal([]);
    rig.submitter.epochApplied(1);
    expect(rig.collect()).to.deep.equal([]);
    rig.submitter.epochApplied(2);
    expect(rig.collect()).to.have.lengthOf(1);
  });

  it('sends again what nobody answered for, in case it was lost', async () => {
    const rig = new Rig();
    rig.submit('x');
    rig.collect();
    await rig.environment.run(1500);
    expect(rig.collect()).to.deep.equal([]);
    await rig.environment.run(1500);
    expect(rig.collect()).to.have.lengthOf(1);
  });

  it('holds what a leader refuses that is handing over, and sends it again until it is taken', async () => {
    const rig = new Rig();
    const one = rig.submit('x');
    let [sent] = rig.collect();
    for (let tries = 0; tries < 5; tries++) {
      rig.submitter.refused(sent!.token, 'transferring');
      await rig.environment.run(25);
      const again = rig.collect();
      expect(again.map(({ data }) => data)).to.deep.equal([sent!.data]);
      [sent] = again;
    }
    expect([one.outcome, one.error]).to.deep.equal([undefined, undefined]);
    rig.submitter.applied(SESSION, 2, ['done']);
    expect(one.outcome).to.equal('done');
  });

  it('knows what was refused from what may be in the log', () => {
    const rig = new Rig();
    const one = rig.submit('x');
    const [sent] = rig.collect();
    rig.submitter.refused(sent!.token, 'notLeader');
    rig.submitter.abandon(one.waiter, 'ERR_TIMEOUT', 'late');
    expect(one.error).to.include({ code: 'ERR_TIMEOUT', fate: 'refused', requestId: undefined });

    const two = rig.submit('y');
    rig.collect();
    rig.submitter.abandon(two.waiter, 'ERR_TIMEOUT', 'late');
    expect(two.error).to.include({ code: 'ERR_TIMEOUT', fate: 'ambiguous' });
    expect(rig.submitter.pendingCommands).to.equal(0);
  });

  it('keeps a sequence that somebody was told of, also when the send turns out to be refused', () => {
    const rig = new Rig();
    const one = rig.submit('x');
    const [sent] = rig.collect();
    rig.submitter.abandon(one.waiter, 'ERR_TIMEOUT', 'late');
    rig.submitter.refused(sent!.token, 'notLeader');
    const id = parseRequestId(one.error!.requestId) as SequenceId;
    const two = rig.submit('x', id);
    expect(rig.collect().map(({ data }) => data)).to.deep.equal([sent!.data]);
    rig.submitter.abandon(two.waiter, 'ERR_TIMEOUT', 'late');
    expect(two.error).to.include({ fate: 'ambiguous', requestId: one.error!.requestId });
    const three = rig.submit('x', id);
    rig.submitter.applied(SESSION, id.sequence, ['done']);
    expect(three.outcome).to.equal('done');
  });

  // A simulated cluster found it: the whole batch was taken for applied, and an acknowledged write was lost.
  it('settles only what was applied when one command of a batch comes alone', () => {
    const rig = new Rig();
    const [one, two, three] = [rig.submit('x'), rig.submit('y'), rig.submit('z')];
    const [sent] = rig.collect();
    for (const { waiter } of [one, three]) rig.submitter.abandon(waiter, 'ERR_TIMEOUT', 'late');
    const again = rig.submit('z', parseRequestId(three.error!.requestId) as SequenceId);
    rig.submitter.applied(SESSION, 2, ['of x']); // submitted again through another member
    expect([two.outcome, again.outcome]).to.deep.equal([undefined, undefined]);
    expect(rig.submitter.pendingCommands).to.equal(2);
    rig.submitter.applied(SESSION, 4, ['of z']);
    expect([two.outcome, again.outcome]).to.deep.equal([undefined, 'of z']);
    rig.route(1, 2);
    expect(rig.collect().map(({ data }) => data)).to.deep.equal([sent!.data]);
    rig.submitter.applied(SESSION, 2, ['of x', 'of y', 'of z']);
    expect(two.outcome).to.equal('of y');
    expect(rig.submitter.pendingCommands).to.equal(0);
  });

  it('keeps the rest of a batch that nobody waits for as long as a retry may come, also when a snapshot has part of it', async () => {
    const rig = new Rig();
    const [one, two] = [rig.submit('x'), rig.submit('y')];
    rig.collect();
    rig.submitter.abandon(two.waiter, 'ERR_TIMEOUT', 'late');
    const table = new SessionTable();
    table.register(SESSION, 'a', rig.nonce, 0).record(1, ['done', 'of x']);
    rig.submitter.restored(table);
    expect(one.outcome).to.equal('of x');
    await rig.environment.run(700_000);
    const id = parseRequestId(two.error!.requestId) as SequenceId;
    rig.submit('y', id);
    rig.route(1, 2);
    const [again] = rig.collect();
    expect(again!.count, 'the batch was forgotten, and the retry travels alone').to.equal(1);
  });

  it('settles by a snapshot only what the snapshot says was applied', () => {
    const rig = new Rig();
    const [one, two] = [rig.submit('x'), rig.submit('y')];
    const [sent] = rig.collect();
    const table = new SessionTable();
    table.register(SESSION, 'a', rig.nonce, 0).record(1, ['done', 'of x']);
    rig.submitter.restored(table);
    expect([one.outcome, two.outcome, two.error]).to.deep.equal(['of x', undefined, undefined]);
    rig.route(2, 2);
    rig.submitter.epochApplied(2);
    expect(rig.collect().map(({ data }) => data)).to.deep.equal([sent!.data]);
    rig.submitter.applied(SESSION, 2, ['of x', 'of y']);
    expect(two.outcome).to.equal('of y');
  });

  it('begins a new session with what an expired one had not applied, unless a snapshot hides whether it had', () => {
    const whole = new Rig();
    const kept = whole.submit('x');
    whole.collect();
    whole.submitter.expired(SESSION, 2, 1);
    expect([kept.outcome, kept.error]).to.deep.equal([undefined, undefined]);
    expect(whole.collect().map(({ token }) => token)).to.deep.equal([0]);

    const gap = new Rig();
    const lost = gap.submit('x');
    gap.collect();
    gap.submitter.restored(new SessionTable());
    expect(lost.error).to.include({ code: 'ERR_SESSION_EXPIRED' });
    expect(gap.submitter.pendingCommands).to.equal(0);
  });

  it('has room again for what was settled or given up', () => {
    const rig = new Rig(500);
    const large = 'x'.repeat(300);
    for (let sequence = 2; sequence < 12; sequence++) {
      const one = rig.submit(large);
      rig.collect();
      if (sequence % 2 === 0) rig.submitter.applied(SESSION, sequence, ['done']);
      else rig.submitter.abandon(one.waiter, 'ERR_TIMEOUT', 'late');
    }
    rig.submit(large);
    rig.submit(large);
    expect(() => rig.submit(large)).to.throw(/2 commands with \d+ bytes are in flight/);
  });
});
