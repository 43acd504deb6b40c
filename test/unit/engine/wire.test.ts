import { expect } from 'chai';
import fc from 'fast-check';
import { ByteReader, ByteWriter } from '../../../lib/bytes.js';
import type { Entry, Epoch } from '../../../lib/consensus/consensus.js';
import type { RaftMessage } from '../../../lib/consensus/raft/messages.js';
import type { RequestFailure } from '../../../lib/engine/door.js';
import {
  decodeRequest,
  decodeRequestRefused,
  encodeRequest,
  encodeRequestRefused,
} from '../../../lib/engine/requestWire.js';
import { paxosCodec } from '../../../lib/engine/paxosCodec.js';
import { raftCodec } from '../../../lib/engine/raftCodec.js';
import type { PaxosMessage } from '../../../lib/consensus/paxos/messages.js';
import { decodeTransfer, encodeTransfer, type TransferFrame } from '../../../lib/engine/transferWire.js';
import * as wire from '../../../lib/engine/wire.js';
import { QuorateError } from '../../../lib/errors.js';
import { seeded } from '../support/seeded.js';

const count = fc.nat({ max: Number.MAX_SAFE_INTEGER });
const index = fc.integer({ min: 1, max: 2 ** 50 });
/** Names on the wire have at most 64 or 128 bytes. */
const name = fc.string({ unit: 'grapheme', maxLength: 12 }).filter((text) => Buffer.byteLength(text) <= 64);
const data = fc.uint8Array({ maxLength: 40 });
const epoch: fc.Arbitrary<Epoch> = fc.record({ config: count, n: count, priority: count, node: name });

const entries: fc.Arbitrary<Entry[]> = fc
  .record({
    first: index,
    epochs: fc.array(epoch, { minLength: 1, maxLength: 3 }),
    parts: fc.array(
      fc.record({
        size: fc.integer({ min: 1, max: 500 }),
        kind: fc.constantFrom('user', 'noop', 'config', 'stop'),
        time: fc.oneof(fc.nat({ max: 2 ** 45 }), fc.double({ noNaN: true, min: 0, max: 1e13 })),
        data,
      }),
      { maxLength: 8 },
    ),
  })
  .map(({ first, epochs, parts }) => {
    let next = first;
    return parts.map(({ size, kind, time, data: bytes }, i): Entry => {
      const taken = kind === 'user' ? size : 1;
      const entry = { index: next, count: taken, epoch: epochs[i % epochs.length]!, time, kind, data: bytes };
      next += taken;
      return entry;
    });
  });

const constant = fc.constant;
const message: fc.Arbitrary<RaftMessage> = fc.oneof(
  fc.record({
    type: constant('vote' as const),
    pre: fc.boolean(),
    term: count,
    lastIndex: count,
    lastTerm: count,
    genesis: name,
    recorded: name,
    transfer: fc.boolean(),
  }),
  fc.record({
    type: constant('voteReply' as const),
    pre: fc.boolean(),
    granted: fc.boolean(),
    term: count,
    genesis: name,
  }),
  fc.record({
    type: constant('append' as const),
    term: count,
    prevIndex: count,
    prevEpoch: epoch,
    commit: count,
    entries,
  }),
  fc.record({
    type: constant('heartbeat' as const),
    term: count,
    commit: count,
    round: count,
    genesis: name,
    promiseMs: count,
  }),
  fc.record({
    type: constant('ack' as const),
    term: count,
    matched: count,
    round: count,
    promised: fc.boolean(),
    conflict: fc.option(fc.record({ prevIndex: count, index: count, epoch }), { nil: undefined }),
  }),
  fc.record({ type: constant('read' as const), batch: count }),
  fc.record({ type: constant('readReply' as const), batch: count, index: count }),
  fc.record({ type: constant('timeoutNow' as const), term: count }),
  fc.record({
    type: constant('quiet' as const),
    term: count,
    index: count,
    attempt: count,
    begins: fc.boolean(),
  }),
  fc.record({ type: constant('quietReply' as const), term: count, attempt: count, ok: fc.boolean() }),
  fc.record({ type: constant('wake' as const), term: count }),
);

const log = { prevIndex: count, prevEpoch: epoch, commit: count };
const conflict = fc.option(fc.record({ prevIndex: count, index: count, epoch }), { nil: undefined });
const paxosMessage: fc.Arbitrary<PaxosMessage> = fc.oneof(
  fc.record({
    ...{ type: constant('prepare' as const), term: epoch, genesis: name },
    chosenBy: fc.option(epoch, { nil: undefined }),
  }),
  fc.record({
    ...{ type: constant('promise' as const), granted: fc.boolean(), term: epoch, lastEpoch: epoch },
    ...{ lastIndex: count, commit: count, genesis: name },
  }),
  fc.record({
    ...{ type: constant('fetch' as const), term: epoch, whole: fc.boolean() },
    ...{ prevIndex: count, prevEpoch: epoch },
  }),
  fc.record({
    type: constant('suffix' as const),
    term: epoch,
    whole: fc.boolean(),
    ...log,
    entries,
    conflict,
  }),
  fc.record({ type: constant('ping' as const), round: count }),
  fc.record({
    ...{ type: constant('pong' as const), round: count, config: count },
    ...{ ballot: epoch, leader: epoch, happy: fc.boolean() },
  }),
  fc.record({ type: constant('append' as const), term: epoch, ...log, entries }),
  fc.record({
    ...{ type: constant('heartbeat' as const), term: epoch, commit: count, round: count },
    ...{ genesis: name, promiseMs: count },
  }),
  fc.record({
    ...{ type: constant('ack' as const), term: epoch, matched: count, round: count },
    ...{ promised: fc.boolean(), conflict },
  }),
  fc.record({ type: constant('read' as const), batch: count }),
  fc.record({ type: constant('readReply' as const), batch: count, index: count }),
  fc.record({ type: constant('timeoutNow' as const), term: epoch }),
);

const hello: fc.Arbitrary<wire.Hello> = fc.record({
  version: constant(wire.GROUP_WIRE_VERSION),
  group: name,
  instance: name,
  protocol: name,
  incarnation: name,
  genesis: name,
  founders: fc.array(name, { maxLength: 5 }),
  wantsAnswer: fc.boolean(),
  priority: fc.integer({ min: 0, max: 100 }),
  witness: fc.boolean(),
});
const refusal = fc.record({
  group: name,
  code: fc.constantFrom(
    'ERR_MEMBERS_DIFFER' as const,
    'ERR_GENESIS_DIFFERS' as const,
    'ERR_PEER_VERSION' as const,
    'ERR_NOT_A_MEMBER' as const,
  ),
  message: name,
});
const proposal = fc.record({ token: count, count: fc.integer({ min: 1, max: 65_536 }), data });
const proposalRefused = fc.record({
  token: count,
  why: fc.constantFrom(
    'notLeader' as const,
    'overloaded' as const,
    'diskFull' as const,
    'tooLarge' as const,
    'stopped' as const,
    'transferring' as const,
  ),
});
const requestFailure = fc.constantFrom<RequestFailure>(
  'notLeader',
  'notVoter',
  'notLinked',
  'lagging',
  'transferring',
  'preparing',
  'configPending',
  'stopped',
  'gaveUp',
  'invalid',
  'noQuorum',
);
const filled = name.filter((text) => text !== '');
const ids = fc.array(filled, { maxLength: 4 });
const leaderRequest = fc.oneof(
  fc.record({ type: fc.constant('transfer' as const), to: name }),
  fc.record({
    type: fc.constant('change' as const),
    change: fc.record({ addVoters: ids, addLearners: ids, addWitnesses: ids, remove: ids }),
  }),
);
const snapshotAck = fc.record({ request: count, index: count, ok: fc.boolean() });
const snapshotResume = fc.record({
  request: count,
  offset: count,
  digest: fc.oneof(constant(new Uint8Array(0)), fc.uint8Array({ minLength: 32, maxLength: 32 })),
});
const snapshotDelegate = fc.record({ request: count, to: name, atLeast: index });

const member = fc.record({ id: fc.string({ minLength: 1, maxLength: 8 }), incarnation: name });
const members = fc.array(member, { maxLength: 3 });
const transfer: fc.Arbitrary<TransferFrame> = fc.oneof(
  fc.record({
    type: constant('begin' as const),
    group: count,
    request: count,
    size: count,
    resume: fc.boolean(),
    meta: fc.record({
      index,
      epoch,
      time: fc.nat(),
      protocol: name,
      membership: fc.record({
        genesis: name,
        founders: fc.array(name, { maxLength: 3 }),
        voters: members,
        outgoing: members,
        learners: members,
      }),
    }),
  }),
  fc.record({ type: constant('chunk' as const), group: count, request: count, offset: count, bytes: data }),
  fc.record({
    type: constant('end' as const),
    group: count,
    request: count,
    ok: constant(true),
    digest: fc.uint8Array({ minLength: 32, maxLength: 32 }),
  }),
  fc.record({
    type: constant('end' as const),
    group: count,
    request: count,
    ok: constant(false),
    digest: constant(new Uint8Array(0)),
  }),
);

/** One thing that passes the wire: how it is made, written and read. */
interface Item<T> {
  readonly values: fc.Arbitrary<T>;
  readonly encode: (value: T) => Uint8Array;
  readonly decode: (bytes: Uint8Array) => T;
}

function written(write: (writer: ByteWriter) => void): Uint8Array {
  const writer = new ByteWriter(4);
  write(writer);
  return writer.take();
}

function item<T>(
  values: fc.Arbitrary<T>,
  write: (writer: ByteWriter, value: T) => void,
  read: (reader: ByteReader) => T,
): Item<unknown> {
  const made: Item<T> = {
    values,
    encode: (value) => written((writer) => write(writer, value)),
    decode: (bytes) => {
      const reader = new ByteReader(bytes);
      const value = read(reader);
      return value;
    },
  };
  return made as unknown as Item<unknown>;
}

const items: Record<string, Item<unknown>> = {
  hello: item(hello, wire.encodeHello, wire.decodeHello),
  refusal: item(refusal, wire.encodeRefusal, wire.decodeRefusal),
  proposal: item(
    proposal,
    (writer, value) => wire.encodeProposal(writer, value.token, value.count, value.data),
    wire.decodeProposal,
  ),
  'refused proposal': item(
    proposalRefused,
    (writer, value) => wire.encodeProposalRefused(writer, value.token, value.why),
    wire.decodeProposalRefused,
  ),
  'request to the leader': item(
    fc.record({ token: count, request: leaderRequest }),
    (writer, value) => encodeRequest(writer, value.token, value.request),
    decodeRequest,
  ),
  'refused request': item(
    fc.record({ token: count, why: requestFailure }),
    (writer, value) => encodeRequestRefused(writer, value.token, value.why),
    decodeRequestRefused,
  ),
  'snapshot acknowledgement': item(
    snapshotAck,
    (writer, value) => wire.encodeSnapshotAck(writer, value.request, value.index, value.ok),
    wire.decodeSnapshotAck,
  ),
  'snapshot resumption': item(
    snapshotResume,
    (writer, value) => wire.encodeSnapshotResume(writer, value.request, value),
    wire.decodeSnapshotResume,
  ),
  'snapshot delegation': item(snapshotDelegate, wire.encodeSnapshotDelegate, wire.decodeSnapshotDelegate),
  'raft message': item(
    message,
    (writer, value) => raftCodec.encode(writer, value),
    (reader) => raftCodec.decode(reader),
  ),
  'paxos message': item(
    paxosMessage,
    (writer, value) => paxosCodec.encode(writer, value),
    (reader) => paxosCodec.decode(reader),
  ),
  'transfer frame': {
    values: transfer,
    encode: (value) => encodeTransfer(value as TransferFrame),
    decode: decodeTransfer,
  },
  frame: item(
    fc.array(fc.record({ group: count, type: fc.nat({ max: 255 }), body: data }), { maxLength: 6 }),
    (writer, value) => {
      for (const { group, type, body } of value)
        wire.writeItem(writer, group, type, (into) => into.raw(body));
    },
    (reader) => {
      const found: { group: number; type: number; body: Uint8Array<ArrayBuffer> }[] = [];
      wire.readItems(reader.raw(reader.remaining), (group, type, body) => {
        found.push({ group, type, body: Uint8Array.from(body.raw(body.remaining)) });
      });
      return found;
    },
  ),
};

/** Anything but a value or ERR_CODEC is a failure. */
function tryDecode(decode: (bytes: Uint8Array) => unknown, bytes: Uint8Array): 'value' | 'refused' {
  try {
    decode(bytes);
    return 'value';
  } catch (error) {
    if (error instanceof QuorateError && error.code === 'ERR_CODEC') return 'refused';
    throw new Error(`threw ${String(error)} for ${Buffer.from(bytes).toString('hex')}`, { cause: error });
  }
}

describe('the wire of the engine', () => {
  for (const [what, { values, encode, decode }] of Object.entries(items)) {
    describe(what, () => {
      it('comes back as it was', () => {
        fc.assert(
          fc.property(values, (value) => {
            expect(decode(encode(value))).to.deep.equal(value);
          }),
          { numRuns: 300 },
        );
      });

      it('gives a value or ERR_CODEC when it is cut or changed anywhere', () => {
        const random = seeded(7);
        const below = (limit: number): number => Math.floor(random() * limit);
        let inputs = 0;
        let refused = 0;
        for (const value of fc.sample(values, { numRuns: 150, seed: 11 })) {
          const bytes = encode(value);
          const feed = (changed: Uint8Array): void => {
            inputs++;
            if (tryDecode(decode, changed) === 'refused') refused++;
          };
          for (let i = 0; i < 8; i++) feed(bytes.slice(0, below(bytes.length + 1)));
          for (let i = 0; i < 16; i++) {
            const changed = Uint8Array.from(bytes);
            for (let n = 0; n <= below(3) && changed.length > 0; n++) {
              const at = below(changed.length);
              changed[at] = random() < 0.5 ? changed[at]! ^ (1 << below(8)) : below(256);
            }
            feed(changed);
          }
          for (let i = 0; i < 4; i++) feed(Uint8Array.from({ length: below(64) }, () => below(256)));
        }
        expect(inputs).to.equal(4200);
        expect(refused).to.be.greaterThan(100);
      });
    });
  }

  it('names the codes of a refusal and the caps that a peer breaks', () => {
    const refuse = (bytes: Uint8Array, decode: (reader: ByteReader) => unknown, text: RegExp): void => {
      expect(() => decode(new ByteReader(bytes)))
        .to.throw(QuorateError, text)
        .with.property('code', 'ERR_CODEC');
    };
    const founders = written((writer) => {
      writer.varint(1);
      for (let i = 0; i < 5; i++) writer.string('x');
      writer.varint(1025);
    });
    refuse(founders, wire.decodeHello, /1025 founders, at most 1024/);
    refuse(
      written((w) => wire.encodeProposal(w, 1, 65_537, new Uint8Array(1))),
      wire.decodeProposal,
      /65537 commands, 1 to 65536/,
    );
    refuse(
      written((w) => wire.encodeProposal(w, 1, 0, new Uint8Array(1))),
      wire.decodeProposal,
      /counts 0/,
    );
    refuse(
      written((w) => {
        for (const text of ['g', 'ERR_INTERNAL', 'm']) w.string(text);
      }),
      wire.decodeRefusal,
      /unknown code/,
    );
  });

  it('refuses a hello that wants to lead more than anybody can', () => {
    const [value] = fc.sample(hello, { numRuns: 1, seed: 1 });
    const bytes = (priority: number): ByteReader =>
      new ByteReader(written((w) => wire.encodeHello(w, { ...value!, priority })));
    expect(wire.decodeHello(bytes(100)).priority).to.equal(100);
    expect(() => wire.decodeHello(bytes(101))).to.throw(QuorateError, /priority 101, at most 100/);
  });

  it('reads a hello of another version as far as it goes', () => {
    const [value] = fc.sample(hello, { numRuns: 1, seed: 1 });
    const other = { ...value!, version: wire.GROUP_WIRE_VERSION + 1, priority: 7 };
    const read = wire.decodeHello(new ByteReader(written((w) => wire.encodeHello(w, other))));
    expect(read).to.deep.equal({ ...other, priority: 0, witness: false });
  });

  it('refuses a transfer whose description is no snapshot', () => {
    const meta = {
      index: 1,
      epoch: { config: 0, n: 1, priority: 0, node: 'a' },
      time: 1,
      protocol: 'raft',
      membership: { genesis: '', founders: [], voters: [], outgoing: [], learners: [] },
    };
    const begin = (value: unknown): Uint8Array =>
      encodeTransfer({
        type: 'begin',
        group: 1,
        request: 1,
        size: 1,
        resume: true,
        meta: value as typeof meta,
      });
    expect(decodeTransfer(begin(meta))).to.have.property('type', 'begin');
    for (const broken of [
      null,
      7,
      'text',
      [],
      {},
      { ...meta, index: 0 },
      { ...meta, index: 1.5 },
      { ...meta, index: 2 ** 60 },
      { ...meta, time: 'now' },
      { ...meta, protocol: 1 },
      { ...meta, epoch: null },
      { ...meta, epoch: { ...meta.epoch, n: -1 } },
      { ...meta, membership: null },
      { ...meta, membership: { ...meta.membership, voters: [{ id: '', incarnation: '' }] } },
    ]) {
      expect(tryDecode(decodeTransfer, begin(broken)), JSON.stringify(broken)).to.equal('refused');
    }
  });

  it('says how a Raft message travels', () => {
    const append = (bytes: number[]): RaftMessage => ({
      type: 'append',
      term: 1,
      prevIndex: 0,
      prevEpoch: { config: 0, n: 0, priority: 0, node: '' },
      commit: 0,
      entries: bytes.map((length, i) => ({
        index: i + 1,
        count: 1,
        epoch: { config: 0, n: 1, priority: 0, node: 'a' },
        time: 1,
        kind: 'user',
        data: new Uint8Array(length),
      })),
    });
    expect(raftCodec.travel(append([]))).to.deep.equal({ urgent: true, size: 0 });
    expect(raftCodec.travel(append([10, 20]))).to.deep.equal({ urgent: false, size: 30 });
    expect(raftCodec.travel({ type: 'read', batch: 1 }).urgent).to.equal(true);
  });
});
