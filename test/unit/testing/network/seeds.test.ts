import { expect } from 'chai';
import { describe, it } from 'mocha';
import { FrameKind } from '../../../../lib/mesh/port.js';
import { Lab, numbered, numbersOf, type Meshed } from './support.js';

const seeds = Number(process.env['QUORATE_SEEDS'] ?? 12);
const first = Number(process.env['QUORATE_SEED'] ?? 1);
const ids = ['a', 'b', 'c', 'd'] as const;

describe('simulated network: any schedule of faults', () => {
  for (let seed = first; seed < first + seeds; seed++) {
    it(`keeps every lane gapless and in order, seed ${seed}`, async () => {
      const lab = new Lab(
        { latencyMs: 3, jitterMs: 10, lossRate: 0.05, silenceMs: 1500, sendWindowBytes: 65_536 },
        `l${seed}`,
      );
      const choice = lab.random.stream('choice');
      const { network } = lab;
      for (const id of ids) await lab.bare(id);
      const [sent, got] = [new Map<string, number>(), new Map<string, number>()];
      let delivered = 0;
      const collect = (): void => {
        for (const node of lab.nodes.values()) {
          for (const link of node.links) {
            for (const lane of ['control', 'bulk'] as const) {
              const key = `${link.raw.binding} ${lane} ${link.raw.peer}`;
              let next = got.get(key) ?? 0;
              for (const number of numbersOf(link.got[lane].splice(0))) expect(number, key).equal(next++);
              if (next > 0) got.set(key, next);
            }
          }
        }
      };
      for (let step = 0; step < 600; step++) {
        for (const [id, node] of lab.nodes) {
          const peer = choice.pick(ids);
          if (node.links.findLast((l) => l.raw.peer === peer)?.closed.length !== 0)
            node.session.connect(peer);
          for (const link of node.links) {
            if (link.closed.length > 0) continue;
            for (const lane of ['control', 'bulk'] as const) {
              const key = `${link.raw.binding} ${lane} ${id}`;
              for (let i = choice.integer(4); i > 0; i--) {
                const index = sent.get(key) ?? 0;
                if (link.raw[lane].send(numbered(index, 4 + choice.integer(5000)))) sent.set(key, index + 1);
              }
            }
          }
        }
        if (choice.chance(0.1)) fault(network, choice);
        await lab.run(choice.integer(40));
        collect();
      }
      network.heal();
      await lab.run(30_000);
      collect();
      // Where both ends are still open, all that was sent has come.
      let whole = 0;
      for (const [id, node] of lab.nodes) {
        for (const { raw, closed } of node.links) {
          const back = lab.nodes.get(raw.peer)!.links.find((l) => l.raw.binding === raw.binding);
          if (closed.length > 0 || back?.closed.length !== 0) continue;
          whole++;
          for (const lane of ['control', 'bulk'] as const) {
            const key = `${raw.binding} ${lane} ${id}`;
            expect(got.get(key), key).equal(sent.get(key));
          }
        }
      }
      expect(whole).greaterThan(0);
      for (const [key, count] of got) {
        expect(count, key).at.most(sent.get(key) ?? 0);
        delivered += count;
      }
      expect(delivered).greaterThan(1000);
      expect(network.counts.messages).at.least(delivered);
    });

    it(`links all meshes again when the faults are over, seed ${seed}`, async () => {
      const lab = new Lab(
        { latencyMs: 1, tailMs: 3, lossRate: 0.02, silenceMs: 4000, setupTimeoutMs: 2000 },
        `m${seed}`,
      );
      const choice = lab.random.stream('choice');
      const nodes = new Map<string, Meshed>();
      for (const id of ids) nodes.set(id, await lab.mesh(id));
      for (const { port } of nodes.values()) port.handle(FrameKind.group, () => true);
      for (let step = 0; step < 60; step++) {
        const id = choice.pick(ids);
        const node = nodes.get(id)!;
        const kind = choice.next();
        if (kind < 0.6) fault(lab.network, choice);
        else if (kind < 0.75) node.process.pausedUntil = lab.scheduler.now + choice.integer(3000);
        else if (kind < 0.85) {
          node.process.alive = false;
          const fresh = await lab.mesh(id);
          fresh.port.handle(FrameKind.group, () => true);
          nodes.set(id, fresh);
        }
        for (const { port } of nodes.values())
          for (const peer of port.linked().keys())
            port.send(peer, FrameKind.group, numbered(step, 2000), { lane: 'bulk' });
        await lab.run(choice.integer(700));
      }
      lab.network.heal();
      for (const id of ids) lab.network.rendezvous(id, true);
      const whole = (): boolean =>
        [...nodes.values()].every(({ port }) => port.linked().size === ids.length - 1);
      await lab.until(whole, 60_000);
      // No quarrel either: what is linked stays so.
      await lab.run(10_000);
      expect(whole()).equal(true);
    });
  }
});

function fault(network: Lab['network'], choice: Lab['random']): void {
  const [x, y, z] = choice.shuffle(ids) as [string, string, string];
  const faults = [
    () => network.cut(x, y),
    () => network.cutOneWay(x, y),
    () => network.partition([[x], [y, z]]),
    () => network.partition([[x, z]]),
    () => network.clog(x, y, choice.integer(2000)),
    () => network.reset(x, y),
    () => network.reset(x, y, x),
    () => network.rendezvous(x, false),
    () => network.rendezvous(x, true),
    () => network.rendezvous(y, true),
    () => network.heal(x, y),
    () => network.heal(),
    () => network.heal(),
    () => network.heal(),
  ];
  choice.pick(faults)();
}
