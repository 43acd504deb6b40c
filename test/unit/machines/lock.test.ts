import { expect } from 'chai';
import fc from 'fast-check';
import { lock, type LockHolder } from '../../../lib/machines/lock.js';
import { bytesOf, driver, errorOf, inChunks } from './helpers.js';

describe('lock', () => {
  it('has one holder until it is released', () => {
    const machine = lock();
    const apply = driver(machine);
    expect(apply({ op: 'acquire', name: 'l', owner: 'x', ttlMs: 100 }, 10)).to.deep.equal({
      ok: true,
      owner: 'x',
      token: 1,
      expires: 110,
    });
    expect(apply({ op: 'acquire', name: 'l', owner: 'y', ttlMs: 100 }, 20)).to.deep.equal({
      ok: false,
      owner: 'x',
      token: 1,
      expires: 110,
    });
    expect(apply({ op: 'release', name: 'l', token: 2 }, 21)).to.deep.equal({ ok: false });
    expect(machine.query!({ op: 'get', name: 'l' })).to.deep.equal({ owner: 'x', token: 1, expires: 110 });
    expect(apply({ op: 'release', name: 'l', token: 1 }, 22)).to.deep.equal({ ok: true });
    expect(machine.query!({ op: 'get', name: 'l' })).to.equal(undefined);
    expect(apply({ op: 'acquire', name: 'l', owner: 'y', ttlMs: 100 }, 23)).to.deep.include({
      ok: true,
      token: 5,
    });
  });

  it('ends by the time of the log, to the millisecond', () => {
    const apply = driver(lock());
    apply({ op: 'acquire', name: 'l', owner: 'x', ttlMs: 100 }, 10);
    expect(apply({ op: 'acquire', name: 'l', owner: 'y', ttlMs: 50 }, 109)).to.deep.include({ ok: false });
    expect(apply({ op: 'acquire', name: 'l', owner: 'y', ttlMs: 50 }, 110)).to.deep.equal({
      ok: true,
      owner: 'y',
      token: 3,
      expires: 160,
    });
    expect(apply({ op: 'renew', name: 'l', token: 1, ttlMs: 50 }, 111)).to.deep.equal({
      ok: false,
      expires: 160,
    });
    expect(apply({ op: 'renew', name: 'l', token: 3, ttlMs: 50 }, 159)).to.deep.equal({
      ok: true,
      expires: 209,
    });
    expect(apply({ op: 'renew', name: 'l', token: 3, ttlMs: 50 }, 209)).to.deep.equal({
      ok: false,
      expires: 0,
    });
    expect(apply({ op: 'release', name: 'l', token: 3 }, 210)).to.deep.equal({ ok: false });
  });

  it('keeps the token of a holder that asks again, and gives a new one after the hold ended', () => {
    const apply = driver(lock());
    expect(apply({ op: 'acquire', name: 'l', ttlMs: 10 }, 0, 'node')).to.deep.include({
      ok: true,
      owner: 'node',
      token: 1,
    });
    expect(apply({ op: 'acquire', name: 'l', ttlMs: 10 }, 5, 'node')).to.deep.include({
      ok: true,
      token: 1,
      expires: 15,
    });
    expect(apply({ op: 'acquire', name: 'l', ttlMs: 10 }, 15, 'node')).to.deep.include({
      ok: true,
      token: 3,
    });
  });

  it('lists what is held as of the last command, by name', () => {
    const machine = lock();
    const apply = driver(machine);
    apply({ op: 'acquire', name: 'b', owner: 'x', ttlMs: 100 }, 0);
    apply({ op: 'acquire', name: 'a', owner: 'x', ttlMs: 10 }, 0);
    apply({ op: 'acquire', name: 'c', owner: 'x', ttlMs: 10 }, 5);
    const names = () => (machine.query!({ op: 'list' }) as [string, LockHolder][]).map(([name]) => name);
    expect(names()).to.deep.equal(['a', 'b', 'c']);
    apply({ op: 'release', name: 'nothing', token: 0 }, 10);
    expect(names()).to.deep.equal(['b', 'c']);
    expect(machine.query!({ op: 'get', name: 'a' })).to.equal(undefined);
  });

  it('forgets locks that nobody comes back for', () => {
    const machine = lock();
    const apply = driver(machine);
    for (let i = 0; i < 1000; i++) apply({ op: 'acquire', name: `once-${i}`, ttlMs: 10 }, i);
    expect(bytesOf(machine).length).to.be.below(2000);
  });

  it('never has two holders, tokens only grow, and copies agree: any history', async () => {
    const step = fc.record({
      op: fc.constantFrom('acquire', 'renew', 'release'),
      name: fc.constantFrom('l', 'm'),
      owner: fc.constantFrom('x', 'y', 'z'),
      ttlMs: fc.integer({ min: 1, max: 30 }),
      wait: fc.integer({ min: 0, max: 20 }),
      token: fc.nat(40),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), fc.nat(39), async (steps, restoreAt) => {
        const machine = lock();
        const twin = lock();
        const apply = driver(machine);
        const applyToTwin = driver(twin);
        const model = new Map<string, LockHolder>();
        let time = 0;
        let largest = 0;
        for (const [i, s] of steps.entries()) {
          time += s.wait;
          const held = model.get(s.name);
          const holder = held !== undefined && held.expires > time ? held : undefined;
          const result = apply(s, time) as { ok: boolean; token: number };
          expect(applyToTwin(s, time)).to.deep.equal(result);
          if (i === restoreAt) await twin.restore(inChunks(bytesOf(twin), [3]));
          if (s.op === 'acquire') {
            expect(result.ok).to.equal(holder === undefined || holder.owner === s.owner);
            if (!result.ok) continue;
            if (holder === undefined) expect(result.token).to.be.above(largest);
            else expect(result.token).to.equal(holder.token);
            largest = Math.max(largest, result.token);
            model.set(s.name, { owner: s.owner, token: result.token, expires: time + s.ttlMs });
          } else {
            expect(result.ok).to.equal(holder !== undefined && holder.token === s.token);
            if (!result.ok) continue;
            if (s.op === 'release') model.delete(s.name);
            else model.set(s.name, { ...holder!, expires: time + s.ttlMs });
          }
          expect(machine.query!({ op: 'get', name: s.name })).to.deep.equal(model.get(s.name));
        }
        expect(bytesOf(twin).equals(bytesOf(machine))).to.equal(true);
      }),
      { numRuns: 300 },
    );
  });

  it('rejects what makes no sense, and changes nothing', () => {
    const machine = lock();
    const apply = driver(machine);
    const before = bytesOf(machine);
    for (const name of [undefined, '', 5, 'n'.repeat(257)]) {
      for (const op of ['acquire', 'renew', 'release']) {
        expect(errorOf(() => apply({ op, name, token: 1, ttlMs: 5 })).reason).to.equal('INVALID_NAME');
      }
      if (name !== undefined)
        expect(errorOf(() => apply({ op: 'acquire', name: 'l', owner: name, ttlMs: 5 })).reason).to.equal(
          'INVALID_NAME',
        );
    }
    for (const ttlMs of [undefined, 0, -1, 1.5, NaN, 2 ** 31, '5']) {
      for (const op of ['acquire', 'renew']) {
        expect(errorOf(() => apply({ op, name: 'l', token: 1, ttlMs })).reason).to.equal('INVALID_TTL');
      }
    }
    expect(bytesOf(machine).equals(before)).to.equal(true);
  });
});
