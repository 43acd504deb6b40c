import { expect } from 'chai';
import type { CoreStatus, NodeId } from '../../../lib/consensus/consensus.js';
import { foundingMembership, withIncarnation, type Membership } from '../../../lib/consensus/membership.js';
import { Joining } from '../../../lib/engine/joining.js';
import { Virtual } from '../support/virtual.js';

const founders = (...ids: NodeId[]): Membership => foundingMembership(ids);

describe('joining a group', () => {
  function rig() {
    const environment = new Virtual(1);
    const asked: NodeId[] = [];
    const state = { membership: founders('a', 'c'), stable: founders('a', 'c') };
    const joining = new Joining(
      {
        self: 'b',
        incarnation: 'second life',
        environment,
        status: () => state as CoreStatus,
        contacts: () => ['a', 'c'],
        ask: (peer) => void asked.push(peer),
      },
      'voter',
    );
    const become = (membership: Membership): void => {
      state.membership = state.stable = membership;
      joining.statusChanged();
    };
    const wait = async (ms: number): Promise<NodeId[]> => {
      await environment.run(ms);
      return asked.splice(0);
    };
    /** It is in the log, and not committed. */
    const maybe = (membership: Membership): void => {
      state.membership = membership;
      joining.statusChanged();
    };
    return { joining, become, maybe, wait };
  }

  it('asks all who were met, again and again, until it is a member', async () => {
    const { joining, become, maybe, wait } = rig();
    expect(await wait(1000)).to.deep.equal([]);
    joining.met();
    joining.met();
    expect(await wait(0)).to.deep.equal(['a', 'c']);
    expect(await wait(250)).to.deep.equal(['a', 'c']);
    become(withIncarnation(founders('a', 'b', 'c'), 'b', 'first life'));
    expect(await wait(250), 'the leader admits it again by itself').to.deep.equal([]);
    become(founders('a', 'c'));
    expect(await wait(250), 'that was another life').to.deep.equal(['a', 'c']);
    maybe(withIncarnation(founders('a', 'b', 'c'), 'b', 'second life'));
    expect(await wait(250), 'not now').to.deep.equal([]);
    maybe(founders('a', 'c'));
    expect(await wait(250), 'it did not come about').to.deep.equal(['a', 'c']);
    become(withIncarnation(founders('a', 'b', 'c'), 'b', 'second life'));
    expect(await wait(1000)).to.deep.equal([]);
  });

  it('never asks once it was a member: who removed it meant it', async () => {
    const { joining, become, wait } = rig();
    joining.met();
    become(withIncarnation(founders('a', 'b', 'c'), 'b', 'second life'));
    become(founders('a', 'c'));
    await wait(0);
    joining.met();
    expect(await wait(1000)).to.deep.equal([]);
  });
});
