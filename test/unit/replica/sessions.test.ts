import { expect } from 'chai';
import fc from 'fast-check';
import { MOST_STEP_MS } from '../../../lib/replica/logAge.js';
import { Session, SESSION_LIMITS, SessionTable } from '../../../lib/replica/sessions.js';

/** Lets so much of the log's time go by, in steps that count in full; answers the time then. */
function pass(table: SessionTable, from: number, ms: number): number {
  for (let left = ms; left > 0; left -= MOST_STEP_MS)
    table.forget(from + ms - left + Math.min(left, MOST_STEP_MS));
  return from + ms;
}

describe('sessions', () => {
  it('know which sequences were applied, in whatever order batches come', () => {
    const batches = fc.array(
      fc.tuple(
        fc.integer({ min: 1, max: 60 }),
        fc.integer({ min: 1, max: 8 }),
        fc.integer({ min: 0, max: 3 }),
      ),
    );
    fc.assert(
      fc.property(batches, (steps) => {
        const session = new Session(1, 'a', 'nonce', 0);
        const applied = new Map<number, string>();
        let floor = 1;
        for (const [first, count, raise] of steps) {
          floor += raise;
          session.raiseFloor(floor);
          for (let at = first; at < first + count; at++) {
            const fresh = session.isFresh(at, 1);
            expect(fresh).to.equal(at >= floor && !applied.has(at));
            if (!fresh) continue;
            session.record(at, [`r${at}`]);
            applied.set(at, `r${at}`);
          }
        }
        const copy = Session.restore(session.image());
        for (let at = 1; at < 80; at++) {
          for (const one of [session, copy]) {
            const found = one.find(at);
            if (at < floor) expect(found).to.not.equal(undefined);
            else if (applied.has(at)) expect(found).to.deep.equal({ known: true, outcome: `r${at}` });
            else expect(found).to.equal(undefined);
          }
        }
        expect(copy.image()).to.deep.equal(session.image());
      }),
      { numRuns: 500 },
    );
  });

  it('take a range as fresh only if none of it was applied', () => {
    const session = new Session(1, 'a', 'nonce', 0);
    session.record(10, ['x', 'y']);
    session.record(20, ['z']);
    session.record(12, ['between']);
    expect(session.isFresh(1, 9)).to.equal(true);
    expect(session.isFresh(1, 10)).to.equal(false);
    expect(session.isFresh(13, 7)).to.equal(true);
    expect(session.isFresh(13, 8)).to.equal(false);
    expect(session.isFresh(21, 100)).to.equal(true);
    session.raiseFloor(15);
    expect(session.isFresh(14, 1)).to.equal(false);
    expect(session.image().ranges).to.deep.equal([[20, 20]]);
  });

  it('forget results above their cap, but never that the command was applied', () => {
    const session = new Session(1, 'a', 'nonce', 0);
    const big = 'x'.repeat(SESSION_LIMITS.resultBytes / 2);
    for (let at = 1; at <= 4; at++) session.record(at, [big]);
    expect(session.find(1)).to.deep.equal({ known: false });
    expect(session.find(4)).to.deep.equal({ known: true, outcome: big });
    expect(session.isFresh(1, 1)).to.equal(false);
  });

  it('expire by log time, least recently used first, and are then unknown', () => {
    const table = new SessionTable();
    table.register(1, 'a', 'n1', 1000);
    table.register(2, 'b', 'n2', 1000);
    const end = pass(table, 1000, SESSION_LIMITS.expiryMs);
    expect(table.use(1, end)?.id).to.equal(1);
    expect(table.use(2, end + 1)).to.equal(undefined);
    expect(table.use(1, end + 1)?.id).to.equal(1);
  });

  // Law 4: nothing is done twice, also where a clock is set forward by a day.
  it('do not age by leaps of the clock', () => {
    let table = new SessionTable();
    table.register(1, 'a', 'n1', 1000);
    table.recordRequest('r', 'result', 1000);
    const day = 86_400_000;
    for (let leaps = 1; leaps <= 60; leaps++) {
      table.forget(1000 + leaps * day);
      const copy = new SessionTable();
      copy.restore(table.image());
      table = copy;
    }
    expect([table.peek(1)?.id, table.request('r')?.outcome]).to.deep.equal([1, 'result']);
    table.forget(1001 + 60 * day);
    expect([table.peek(1), table.request('r')]).to.deep.equal([undefined, undefined]);
  });

  it('are capped in number', () => {
    const table = new SessionTable();
    for (let id = 1; id <= SESSION_LIMITS.sessions + 10; id++) table.register(id, 'a', `n${id}`, 1);
    expect(table.size).to.equal(SESSION_LIMITS.sessions);
    expect(table.peek(10)).to.equal(undefined);
    expect(table.peek(11)?.id).to.equal(11);
  });

  it('register the same nonce once', () => {
    const table = new SessionTable();
    expect(table.register(1, 'a', 'n', 1).id).to.equal(1);
    expect(table.register(5, 'a', 'n', 1).id).to.equal(1);
    expect(table.register(6, 'b', 'n', 1).id).to.equal(6);
  });

  it('survive an image, with the order of use', () => {
    const table = new SessionTable();
    table.register(1, 'a', 'n1', 10);
    table.register(2, 'b', 'n2', 20);
    table.use(1, 30)?.record(1, ['one']);
    table.recordRequest('order-1', { ok: true }, 30);
    const copy = new SessionTable();
    copy.restore(table.image());
    expect(copy.image()).to.deep.equal(table.image());
    expect(copy.image().sessions.map(({ id }) => id)).to.deep.equal([2, 1]);
    expect(copy.request('order-1')).to.have.property('outcome').that.deep.equals({ ok: true });
  });

  it('forget request ids by age, oldest first, also when none was left between and after a restore', () => {
    const steps = fc.array(
      fc.tuple(fc.integer({ min: 0, max: 2 }), fc.integer({ min: 1, max: 3 }), fc.boolean()),
    );
    fc.assert(
      fc.property(steps, (list) => {
        let table = new SessionTable();
        let model: { id: string; time: number }[] = [];
        let time = 0;
        for (const [n, [pause, count, restored]] of list.entries()) {
          time = pass(table, time, pause * 0.6 * SESSION_LIMITS.expiryMs);
          for (let i = 0; i < count; i++) {
            const id = `r${n}-${i}`;
            table.recordRequest(id, id, time);
            model.push({ id, time });
          }
          model = model.filter((request) => request.time + SESSION_LIMITS.expiryMs >= time);
          if (restored) {
            const image = table.image();
            table = new SessionTable();
            table.recordRequest('gone', 1, time);
            table.forget(time);
            table.restore(image);
          }
          expect(table.image().requests.map(({ id }) => id)).to.deep.equal(model.map(({ id }) => id));
        }
      }),
    );
  });
});
