/**
 * A saga of five steps on three real processes, whose owner is killed, by kill -9, at each step, before and after its effect, forward and
 * backward: each effect happens exactly once by its idempotency key, and what has to be undone is undone.
 */
import { expect } from 'chai';
import { STEPS, type Reply, type Request } from './sagaMessages.js';
import { Site, sleep, type Process } from './processes.js';

/** The owner dies before or after the world has done what this key asks for, the first time that it is asked. */
interface Point {
  readonly key: string;
  readonly when: 'before' | 'after';
}

const both = (key: string): Point[] => [
  { key, when: 'before' },
  { key, when: 'after' },
];
const forward = STEPS.flatMap((id) => both(`${id}/do`));
const backward = STEPS.slice(0, 4)
  .toReversed()
  .flatMap((id) => both(`${id}/undo`));

describe('sagas on real processes', function () {
  this.timeout(240_000);
  let site: Site<Request, Reply>;
  afterEach(() => site.destroy());

  it('survive kill -9 of their owner at each step, with each effect exactly once', async () => {
    site = await Site.start<Request, Reply>(['a', 'b', 'c'], new URL('./sagaMember.js', import.meta.url));
    const { processes } = site;
    /** What the world has done, once for a key, in its order; and the newest token of each saga. */
    const effects: string[] = [];
    const tokens = new Map<string, number>();
    const late: string[] = [];
    let point: (Point & { readonly saga: string }) | undefined;
    /** Who was killed at the point, if it has come. */
    const killed: Process<Request, Reply>[] = [];
    for (const member of processes)
      member.onReply = (reply) => {
        if (reply.type !== 'act' || !member.running) return;
        const { saga, key, token, call } = reply;
        const isPoint = point !== undefined && key === `${point.saga}/${point.key}`;
        const dies = isPoint && killed.length === 0;
        if (dies) killed.push(member);
        if (dies && point!.when === 'before') {
          void member.kill();
          return;
        }
        if (token < (tokens.get(saga) ?? 0)) late.push(`${key} with ${token}`);
        else {
          tokens.set(saga, token);
          if (!effects.includes(key)) effects.push(key);
        }
        if (dies) void member.kill();
        else member.send({ type: 'done', call });
      };

    const run = async (id: string, fails: boolean, at: Point | undefined): Promise<void> => {
      const what = JSON.stringify(at);
      point = at && { ...at, saga: id };
      killed.length = 0;
      const [starter, other] = processes.filter(({ running }) => running) as [
        Process<Request, Reply>,
        Process<Request, Reply>,
      ];
      // It may be killed before it can say so.
      await starter.ask({ type: 'start', id, fails }, 'started').catch(() => undefined);
      const end = Date.now() + 60_000;
      let state = '';
      let steps: readonly string[] = [];
      while (!['completed', 'compensated'].includes(state) && Date.now() < end) {
        await sleep(30);
        const alive = killed.includes(other) ? processes.find(({ running }) => running)! : other;
        const found = await alive.ask({ type: 'state', id }, 'state').catch(() => undefined);
        ({ state, steps } = found ?? { state, steps });
      }
      const mine = effects.filter((key) => key.startsWith(`${id}/`)).map((key) => key.slice(id.length + 1));
      const done = STEPS.map((step) => `${step}/do`);
      if (!fails) {
        expect(state, `${what} ${steps.join(', ')}`).to.equal('completed');
        expect(mine, what).to.deep.equal(done);
      } else {
        expect(state, `${what} ${steps.join(', ')}`).to.equal('compensated');
        // The last step has failed for good: nothing of it is there to be undone.
        const undone = STEPS.slice(0, 4).toReversed();
        expect(mine, what).to.deep.equal([...done.slice(0, 4), ...undone.map((step) => `${step}/undo`)]);
      }
      if (at !== undefined) expect(killed.length, what).to.equal(1);
    };

    await run('calm', false, undefined);
    await run('failing', true, undefined);
    for (const [n, at] of [...forward, ...backward].entries()) {
      await run(`s${n}`, n >= forward.length, at);
      // The next one has its three members, or the quorum would be gone.
      await killed[0]?.start();
    }
    expect(late, 'what came with an old token').to.deep.equal([]);
    expect(new Set(effects).size).to.equal(effects.length);
  });
});
