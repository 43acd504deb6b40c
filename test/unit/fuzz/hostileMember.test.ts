import { expect } from 'chai';
import { MAX_EPOCH_JUMP, MAX_INDEX } from '../../../lib/consensus/bounds.js';
import { foundingMembership } from '../../../lib/consensus/membership.js';
import type { Entry, Epoch } from '../../../lib/consensus/consensus.js';
import type { RaftMessage } from '../../../lib/consensus/raft/messages.js';
import { encodeProposal, ItemType, MAX_ITEMS } from '../../../lib/engine/wire.js';
import { keyValue } from '../../../lib/machines/keyValue.js';
import { joinMesh } from '../../../lib/mesh/joinMesh.js';
import { memoryNetwork, type MemoryNetwork } from '../../../lib/mesh/memory/network.js';
import type { Mesh } from '../../../lib/mesh/mesh.js';
import { encodeBatch } from '../../../lib/replica/batch.js';
import { raft } from '../../../lib/replica/consensus.js';
import { openReplica } from '../../../lib/replica/openReplica.js';
import type { Replica } from '../../../lib/replica/replica.js';
import { memoryStorage } from '../../../lib/storage/memoryStorage.js';
import { mutate } from '../../fuzz/mutate.js';
import { Random } from '../../fuzz/random.js';
import { groupFrames } from '../../fuzz/surfaces/group.js';
import { FOUNDERS, GROUP, helloItem, Hostile, item, secret, until } from './hostile.js';

type Store = ReturnType<typeof keyValue<string>>;

const none: Epoch = { config: 0, n: 0, priority: 0, node: '' };
const far: Epoch = { config: 0, n: 2 ** 33, priority: 0, node: 'h' };

interface Honest {
  readonly mesh: Mesh;
  readonly replica: Replica<Store>;
  /** Codes of warnings; a mesh gives at most ten a second. */
  readonly warnings: string[];
  readonly warnedAt: number[];
  /** Peers whose link was lost. */
  readonly lost: string[];
}

describe('a hostile member', () => {
  let network: MemoryNetwork;
  let a: Honest;
  let b: Honest;
  let hostile: Hostile | undefined;
  let commits = 0;

  async function open(id: string): Promise<Honest> {
    const mesh = await joinMesh({ id, cluster: 'test', secret, transport: network });
    const warnings: string[] = [];
    const warnedAt: number[] = [];
    const lost: string[] = [];
    mesh.on('warning', (error) => {
      warnings.push((error as { code?: string }).code ?? error.message);
      warnedAt.push(Date.now());
    });
    mesh.on('peer:unreachable', (peer) => void lost.push(peer));
    const replica = await openReplica({
      mesh,
      group: GROUP,
      members: FOUNDERS,
      stateMachine: keyValue<string>(),
      consensus: raft(),
      storage: memoryStorage(),
    });
    return { mesh, replica, warnings, warnedAt, lost };
  }

  /** One command each, through to the state of both. */
  async function commit(): Promise<void> {
    for (const { replica } of [a, b]) {
      const value = String(++commits);
      await replica.submit({ op: 'put', key: 'k', value }, { timeout: 15_000 });
      expect(await replica.query({ op: 'get', key: 'k' }, { timeout: 15_000 })).to.equal(value);
    }
  }

  const term = (): number => Math.max(a.replica.status().epoch, b.replica.status().epoch);
  const leader = (): 'a' | 'b' => (a.replica.status().role === 'leader' ? 'a' : 'b');

  before(async () => {
    network = memoryNetwork();
    [a, b] = [await open('a'), await open('b')];
    await commit();
  });

  afterEach(async () => {
    await hostile?.close();
    hostile = undefined;
  });

  after(async () => {
    await Promise.all([a.mesh.close(), b.mesh.close()]);
  });

  /** A node of its own for each case: who was thrown out may not come back at once. */
  let hostiles = 0;

  async function meet(): Promise<Hostile> {
    hostile = await Hostile.join(network, `h${++hostiles}`);
    await hostile.greet('a', 'b');
    return hostile;
  }

  /** Says something to one of the honest that must cost the link to it, and nothing else. */
  async function punished(say: (hostile: Hostile, peer: string) => void, to?: () => string): Promise<void> {
    const node = await meet();
    await commit();
    const peer = to?.() ?? 'a';
    const { lost, warnings, warnedAt } = peer === 'a' ? a : b;
    const id = node.port.id;
    const before = term();
    const warned = warnings.length;
    say(node, peer);
    await until('the loss of its link', () => lost.includes(id));
    if (warnedAt.filter((at) => at > Date.now() - 1500).length < 9)
      expect(warnings.slice(warned)).to.include('ERR_PEER_PROTOCOL');
    await commit();
    expect(term()).to.equal(before);
    expect(a.lost).to.not.include('b');
    expect(b.lost).to.not.include('a');
    expect(a.replica.status().state).to.equal('running');
    expect(b.replica.status().state).to.equal('running');
  }

  const messages: Record<string, RaftMessage> = {
    'a heartbeat of a far term': {
      type: 'heartbeat',
      term: 2 ** 33,
      commit: 0,
      round: 1,
      genesis: '',
      promiseMs: 0,
    },
    'a heartbeat of the last term there is': {
      type: 'heartbeat',
      term: Number.MAX_SAFE_INTEGER,
      commit: 0,
      round: 1,
      genesis: '',
      promiseMs: 0,
    },
    'an acknowledgement of a far term': {
      type: 'ack',
      term: 2 ** 40,
      matched: 0,
      round: 0,
      promised: false,
      conflict: undefined,
    },
    'a vote of a far term': {
      type: 'vote',
      pre: false,
      term: 2 ** 45,
      lastIndex: 9,
      lastTerm: 1,
      genesis: '',
      recorded: '',
      transfer: false,
    },
    'a pre-vote of a far term': {
      type: 'vote',
      pre: true,
      term: 2 ** 45,
      lastIndex: 9,
      lastTerm: 1,
      genesis: '',
      recorded: '',
      transfer: false,
    },
    'an answer to a vote of a far term': {
      type: 'voteReply',
      pre: false,
      granted: false,
      term: 2 ** 50,
      genesis: '',
    },
    'an append of a far term': {
      type: 'append',
      term: 2 ** 33,
      prevIndex: 0,
      prevEpoch: none,
      commit: 0,
      entries: [],
    },
    'a log that ends beyond all logs': {
      type: 'vote',
      pre: true,
      term: 3,
      lastIndex: MAX_INDEX + 1,
      lastTerm: 1,
      genesis: '',
      recorded: '',
      transfer: false,
    },
    'a read index beyond all logs': { type: 'readReply', batch: 1, index: MAX_INDEX + 1 },
    'an entry that claims more indexes than an entry has': append({ count: 65_537 }),
    'a time that no clock shows': append({ time: 1e300 }),
    'a membership of two megabytes': append({ kind: 'config', data: new Uint8Array(2 * 1024 * 1024) }),
    'an entry of a later epoch than its leader': append({ epoch: far }),
  };

  function append(more: Partial<Entry>): RaftMessage {
    const entry: Entry = {
      index: 1,
      count: 1,
      epoch: { config: 0, n: 1, priority: 0, node: 'h' },
      time: 1,
      kind: 'user',
      data: new Uint8Array(1),
      ...more,
    };
    return { type: 'append', term: 3, prevIndex: 0, prevEpoch: none, commit: 0, entries: [entry] };
  }

  for (const [what, message] of Object.entries(messages)) {
    it(`loses its link for ${what}`, () => punished((node, peer) => node.message(peer, message)));
  }

  it('loses its link for an append that would change what is committed', async () => {
    await punished(
      (node, peer) => {
        const now = term();
        const founding: Entry = {
          index: 1,
          count: 1,
          epoch: { config: 0, n: now, priority: 0, node: 'z' },
          time: 1,
          kind: 'noop',
          data: new Uint8Array(0),
        };
        // In the leader's own term, so that the term stays: it is not from the leader, which is a breach as well.
        node.message(peer, {
          type: 'append',
          term: now,
          prevIndex: 0,
          prevEpoch: none,
          commit: 9,
          entries: [founding],
        });
      },
      () => (leader() === 'a' ? 'b' : 'a'),
    );
  });

  const batch = encodeBatch(1, 1, 1, 2, new Uint8Array(8));
  const proposals: Record<string, [count: number, data: Uint8Array]> = {
    'that is no batch': [1, Uint8Array.of(9, 9, 9)],
    'that is empty': [1, new Uint8Array(0)],
    'with another count than it has': [3, batch],
    'of a session of the future': [2, encodeBatch(2 ** 40, 1, 1, 2, new Uint8Array(8))],
    'with a sequence beyond numbers': [
      2,
      encodeBatch(1, 1, Number.MAX_SAFE_INTEGER - 1, 2, new Uint8Array(8)),
    ],
    'with a floor above its commands': [2, encodeBatch(1, 50, 1, 2, new Uint8Array(8))],
    'with something behind its commands': [2, Buffer.concat([batch, new Uint8Array(1)])],
  };
  for (const [what, [count, data]] of Object.entries(proposals)) {
    it(`loses its link for a proposal ${what}`, () =>
      punished(
        (node, peer) =>
          void node.frame(
            peer,
            item(ItemType.proposal, (writer) => encodeProposal(writer, 1, count, data)),
          ),
        leader,
      ));
  }

  const frames: Record<string, () => Uint8Array> = {
    'bytes that are no items': () => Uint8Array.of(1, 4, 0xff, 0xff, 0xff, 0xff),
    'an item of an unknown type': () => item(77, () => undefined),
    'a message of an unknown type': () => item(ItemType.message, (writer) => writer.u8(77)),
    'something behind a message': () =>
      item(ItemType.message, (writer) => {
        writer.u8(5);
        writer.varint(1);
        writer.u8(0);
      }),
    'more items than a frame has': () => {
      const bye = item(50, () => undefined, 99);
      return Buffer.concat(Array.from({ length: MAX_ITEMS + 1 }, () => bye));
    },
    'hellos without end': () =>
      Buffer.concat(
        Array.from({ length: 400 }, (_, i) => helloItem({ instance: i.toString(16).padStart(16, '0') })),
      ),
    'hellos of another founding without end': () =>
      Buffer.concat(Array.from({ length: 400 }, () => helloItem({ founders: ['x'] }))),
  };
  for (const [what, frame] of Object.entries(frames)) {
    it(`loses its link for ${what}`, () => punished((node, peer) => void node.frame(peer, frame())));
  }

  const membership = { ...foundingMembership(FOUNDERS), genesis: '' };
  const snapshots: Record<string, { index?: number; epoch?: Epoch; genesis?: string }> = {
    'of a far term': { epoch: { ...none, n: MAX_EPOCH_JUMP + 1000 } },
    'beyond all logs': { index: MAX_INDEX + 1 },
    'of another founding': { genesis: 'of another group' },
    'of no founding': { genesis: '' },
  };
  for (const [what, { index = 50, epoch = none, genesis = 'x' }] of Object.entries(snapshots)) {
    it(`loses its link for a snapshot ${what}`, () =>
      punished((node, peer) => {
        const meta = { index, epoch, time: 1, membership: { ...membership, genesis }, protocol: 'raft' };
        node.transfer(peer, { type: 'begin', group: node.number, request: 1, size: 10, resume: true, meta });
      }));
  }

  it('cannot keep two others from committing by whatever it mutates', async function () {
    this.timeout(120_000);
    const random = new Random(5);
    const corpus = groupFrames(9, GROUP).map((frame) => Uint8Array.from(frame));
    const before = process.memoryUsage().heapUsed;
    for (let round = 0; round < 8; round++) {
      const node = await meet();
      let sent = 0;
      // Until both have thrown it out, or have had enough of it.
      while (sent < 400 && node.port.linked().size > 0) {
        for (const peer of ['a', 'b']) node.frame(peer, mutate(random, corpus, []), 1, random.chance(0.3));
        if (++sent % 20 === 0) await new Promise<void>((resolve) => void setImmediate(resolve));
      }
      await commit();
      await node.close();
    }
    expect(term()).to.be.lessThan(2 * MAX_EPOCH_JUMP);
    expect(a.lost).to.not.include('b');
    expect(b.lost).to.not.include('a');
    expect(process.memoryUsage().heapUsed - before).to.be.lessThan(200 * 1024 * 1024);
  });
});
