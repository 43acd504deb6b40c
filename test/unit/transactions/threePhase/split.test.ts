/**
 * The partition that splits three-phase commit: all vote yes, the message to prepare reaches P1 only, then C and P1 are cut off from P2.
 * C and P1 go on to commit when their time is over, P2 aborts when its is. The quorum form waits, or goes with the majority.
 */
import { expect } from 'chai';
import { Sites } from './sites.js';
import type { ThreePhaseForm } from '../../../../lib/transactions/threePhase/siteTypes.js';

function cutOff(form: ThreePhaseForm): Sites {
  const world = new Sites({ form, sites: ['C', 'P1', 'P2'] });
  world.filter = (_, to, message) => {
    if (message.type !== 'prepare') return true;
    world.partition([['C', 'P1'], ['P2']]);
    return to !== 'P2';
  };
  world.begin();
  world.run(2000);
  return world;
}

describe('three-phase commit and a partition', () => {
  it('the plain form splits: one part commits, the other aborts', () => {
    const { outcomes } = cutOff('plain');
    expect(Object.fromEntries(outcomes)).to.deep.equal({ C: ['commit'], P1: ['commit'], P2: ['abort'] });
  });

  it('the quorum form does not: the majority commits, the other waits and then learns of it', () => {
    const world = cutOff('quorum');
    expect(Object.fromEntries(world.outcomes)).to.deep.equal({ C: ['commit'], P1: ['commit'] });
    expect(world.site('P2')!.state).to.equal('waiting');
    world.filter = () => true;
    world.partition([]);
    world.run(10_000); // he asks less and less often
    expect(world.outcomes.get('P2')).to.deep.equal(['commit']);
  });

  it('the quorum form does not either when the coordinator comes back in the other part', () => {
    const world = new Sites({ form: 'quorum', sites: ['C', 'P1', 'P2'] });
    world.filter = (_, to, message) => {
      if (message.type !== 'prepare' || to !== 'P1') return message.type !== 'prepare';
      world.crash('C'); // with what it stored
      world.after(10, () => {
        world.filter = () => true;
        world.partition([['P1'], ['C', 'P2']]);
        world.after(10, () => world.start('C'));
      });
      return true;
    };
    world.begin();
    world.run(2000);
    // C was prepared too before anybody heard of it: so C and P2 go on with that.
    expect(world.outcomes.get('C')).to.deep.equal(['commit']);
    expect(world.outcomes.get('P2')).to.deep.equal(['commit']);
    expect(world.outcomes.get('P1')).to.equal(undefined);
    world.partition([]);
    world.run(10_000);
    expect(world.outcomes.get('P1')).to.deep.equal(['commit']);
  });
});
