/** What comes to a store from other members, and from its disk: versions of keys, contexts, states of data types, records. */
import { isDeepStrictEqual } from 'node:util';
import { ByteReader, ByteWriter } from '../../../lib/bytes.js';
import { cbor } from '../../../lib/replica/codec.js';
import { formatContext, parseContext, seenOf } from '../../../lib/store/causality/context.js';
import { VectorClock } from '../../../lib/store/causality/vectorClock.js';
import {
  actorOf,
  decodeVersions,
  encodeVersions,
  type Version,
  type Versions,
} from '../../../lib/store/causality/version.js';
import { emptySet, join, put } from '../../../lib/store/causality/versionSet.js';
import { pnCounter } from '../../../lib/store/crdt/counter.js';
import type { CrdtType } from '../../../lib/store/crdt/crdt.js';
import { flag } from '../../../lib/store/crdt/flag.js';
import { orSet } from '../../../lib/store/crdt/orSet.js';
import { lwwMap, lwwRegister } from '../../../lib/store/crdt/registers.js';
import {
  decodeRecord,
  encodeForget,
  encodeHint,
  encodeIdentity,
  encodeRingRecord,
  encodeSet,
  encodeTold,
} from '../../../lib/store/local/records.js';
import {
  decodeKeys,
  decodeMessage,
  encodeKeys,
  encodeMessage,
  RequestType,
  type Request,
} from '../../../lib/store/coordination/wire.js';
import {
  decodeForward,
  decodeOutcome,
  encodeDone,
  encodeFailure,
  encodeForward,
} from '../../../lib/store/placement/forward.js';
import {
  decodeListRequest,
  decodePage,
  encodeListRequest,
  encodePage,
} from '../../../lib/store/placement/listing.js';
import { ringMachine } from '../../../lib/store/placement/ringMachine.js';
import {
  decodeRing,
  encodeRing,
  NO_RING,
  ringsOf,
  type RingState,
} from '../../../lib/store/placement/ringState.js';
import { QuorateError } from '../../../lib/errors.js';
import { must, sameBytes, stateless, TAKEN, type Surface } from '../surface.js';
import { written } from './group.js';

const actors = ['a', 'b', 'node:3'].map((node, i) => actorOf(node, `${i}`.padStart(16, '0')));
const stamp = { wall: 1.7e12, counter: 3 };

function setOf(count: number): Versions {
  let set: Versions = emptySet();
  for (let i = 1; i <= count; i++) {
    const value = i % 3 === 0 ? undefined : new Uint8Array(i * 7).fill(i);
    const dot = { actor: actors[i % 3]!, counter: i * 50 };
    set = put(set, i % 4 === 0 ? set.context : VectorClock.empty, {
      dot,
      stamp: { ...stamp, counter: i },
      value,
    });
  }
  return set;
}

const keyOf = ({ dot }: Version): string => `${dot.actor} ${dot.counter}`;
const sets = [1, 2, 5, 9].map(setOf);
const encoded = (set: Versions): Uint8Array => written((writer) => encodeVersions(writer, set));

export function storeVersions(): Surface {
  return stateless(
    'storeVersions',
    'the versions of a key, as members exchange them',
    sets.map(encoded),
    (input) => {
      const reader = new ByteReader(input);
      const set = decodeVersions(reader, 1 << 20);
      must(set.versions.length > 0, 'versions of nothing');
      must(
        set.versions.every(({ dot }) => set.context.covers(dot)),
        'a version that its context does not cover',
      );
      must(
        sameBytes(encoded(decodeVersions(new ByteReader(encoded(set)), 1 << 20)), encoded(set)),
        'it reads otherwise',
      );
      for (const mine of sets) {
        // A dot is one write: what was changed under the same dot is another story, and only a member could tell it.
        const known = new Map(mine.versions.map((version) => [keyOf(version), version]));
        if (set.versions.some((version) => !isDeepStrictEqual(known.get(keyOf(version)) ?? version, version)))
          continue;
        const both = join(mine, set);
        must(sameBytes(encoded(both), encoded(join(set, mine))), 'who joins first matters');
        must(join(both, set) === both, 'joining twice matters');
      }
      return TAKEN;
    },
  );
}

export function storeContext(): Surface {
  const corpus = sets.map((set) => Buffer.from(formatContext(seenOf(set)), 'base64url'));
  return stateless('storeContext', 'the context of a read, handed back with a write', corpus, (input) => {
    const seen = parseContext(Buffer.from(input).toString('base64url'));
    const again = parseContext(formatContext(seen));
    must(again.clock.compare(seen.clock) === 'equal', 'a context that reads otherwise');
    return TAKEN;
  });
}

const codec = cbor();

function statesOf<State, Op>(type: CrdtType<State, unknown, Op>, operations: readonly Op[]): unknown[] {
  let state = type.initial();
  let seen = VectorClock.empty;
  return operations.map((operation, i) => {
    const dot = { actor: actors[i % 3]!, counter: i + 1 };
    state = type.apply(state, operation, { dot, seen, stamp: { ...stamp, counter: i } });
    seen = seen.with(dot);
    return type.encode(state);
  });
}

const types: readonly [CrdtType, unknown[]][] = [
  made(pnCounter(), [{ op: 'add' }, { op: 'add', by: -7 }, { op: 'add', by: 2 ** 40 }]),
  made(flag({ wins: 'enable' }), [{ op: 'enable' }, { op: 'disable' }, { op: 'enable' }]),
  made(orSet(), [
    { op: 'add', value: 'x' },
    { op: 'add', value: { deep: [1] } },
    { op: 'remove', value: 'x' },
  ]),
  made(lwwMap(), [
    { op: 'set', key: 'k', value: 1 },
    { op: 'set', key: 'l', value: null },
    { op: 'remove', key: 'k' },
  ]),
  made(lwwRegister(), [{ op: 'set', value: [1, 2] }]),
];

function made<State, Op>(
  type: CrdtType<State, unknown, Op>,
  operations: readonly Op[],
): [CrdtType, unknown[]] {
  return [type, statesOf(type, operations)];
}

/** The first byte says which type. */
export function storeStates(): Surface {
  const corpus = types.flatMap(([, states], i) =>
    states.map((state) => Buffer.concat([Uint8Array.of(i), codec.encode(state)])),
  );
  return stateless('storeStates', 'the states of replicated data types', corpus, (input) => {
    const [type, states] = types[(input[0] ?? 0) % types.length]!;
    const state = type.decode(codec.decode(input.subarray(1)));
    type.value(state);
    const bytes = (one: unknown): Uint8Array => codec.encode(type.encode(one));
    must(
      sameBytes(bytes(type.decode(codec.decode(bytes(state)))), bytes(state)),
      'a state that reads otherwise',
    );
    must(sameBytes(bytes(type.merge(state, state)), bytes(state)), 'merging with itself matters');
    for (const data of states) type.value(type.merge(type.decode(data), state));
    return TAKEN;
  });
}

/** The states of a ring as members come and go. */
function rings(): RingState[] {
  const machine = ringMachine();
  const states = [NO_RING];
  const reject = (code: string): never => {
    throw new QuorateError('ERR_REJECTED', code);
  };
  const context = { index: 1, time: 0, origin: 'a', random: () => 0, reject };
  for (const command of [
    { op: 'found', members: ['a', 'b', 'c'], copies: 2, partitions: 8 },
    { op: 'change', id: 'd', weight: 2 },
    { op: 'change', id: 'a', weight: 0 },
    { op: 'lost', id: 'b' },
    { op: 'progress', version: 2, id: 'd', done: 3 },
  ] as const) {
    machine.apply(command, context);
    states.push(machine.query!({ op: 'ring' }) as RingState);
  }
  return states;
}

export function storeRing(): Surface {
  return stateless(
    'storeRing',
    'the ring of a store, as members tell it',
    rings().map(encodeRing),
    (input) => {
      const ring = decodeRing(input);
      must(
        sameBytes(encodeRing(decodeRing(encodeRing(ring))), encodeRing(ring)),
        'a ring that reads otherwise',
      );
      if (ring.partitions <= 64)
        for (const one of ringsOf(ring))
          for (let at = 0; at < ring.partitions; at++)
            must(
              new Set(one.ownersOf(at)).size === one.copies || one.members.length === 0,
              'an owner too few',
            );
      return TAKEN;
    },
  );
}

const framed = (type: Request['type'], body: Uint8Array): Uint8Array =>
  encodeMessage({ kind: 'request', store: 's', agreement: '0123456789abcdef', id: 7, epoch: 3, type, body });

/** Frames, with what they carry. */
export function storeFrames(): Surface {
  const input = codec.encode('value');
  const call = { key: 'k', level: 2, timeoutMs: 500, context: undefined, input: new Uint8Array(0) };
  const keys = [['a', encoded(sets[0]!)] as const, ['b', undefined] as const];
  const refused = new QuorateError('ERR_TIMEOUT', 'late', { fate: 'ambiguous', data: { needed: 2 } });
  const corpus = [
    framed(RequestType.read, encodeKeys(keys)),
    framed(RequestType.forward, encodeForward({ ...call, kind: 'get' })),
    framed(RequestType.forward, encodeForward({ ...call, kind: 'put', input, context: 'abc' })),
    framed(RequestType.ring, encodeRing(rings()[2]!)),
    framed(RequestType.list, encodeListRequest({ prefix: 'k', after: '' })),
    encodeMessage({ kind: 'stale', store: 's', id: 8, ring: encodeRing(rings()[3]!) }),
    encodeMessage({ kind: 'answer', store: 's', id: 1, body: encodePage({ more: true, keys }) }),
    encodeMessage({
      kind: 'answer',
      store: 's',
      id: 2,
      body: encodeDone({ versions: encoded(sets[1]!), report: { acknowledged: 2, hinted: ['c'] } }),
    }),
    encodeMessage({ kind: 'answer', store: 's', id: 3, body: encodeFailure(refused) }),
    encodeMessage({ kind: 'refusal', store: 's', id: 3, why: 'no' }),
  ];
  return stateless('storeFrames', 'the frames of a store, and what they carry', corpus, (bytes) => {
    const message = decodeMessage(bytes);
    if (message.kind === 'stale') decodeRing(message.ring);
    else if (message.kind === 'request') {
      const { type, body } = message;
      if (type === RequestType.forward) {
        const forwarded = decodeForward(body, 3);
        must(
          sameBytes(encodeForward(decodeForward(encodeForward(forwarded), 3)), encodeForward(forwarded)),
          'a call that reads otherwise',
        );
      } else if (type === RequestType.ring) decodeRing(body);
      else if (type === RequestType.list) decodeListRequest(body);
      else if (type === RequestType.read) decodeKeys(body);
    } else if (message.kind === 'answer') {
      if (message.id === 1) decodePage(message.body);
      else decodedOutcome(message.body);
    }
    return TAKEN;
  });
}

/** What a call failed with elsewhere is no fault of the frame. */
function decodedOutcome(body: Uint8Array): void {
  try {
    decodeOutcome(body, 3);
  } catch (error) {
    if (!(error instanceof QuorateError) || error.reason === 'MALFORMED') throw error;
  }
}

export function storeRecords(): Surface {
  const corpus = [
    encodeIdentity({ actor: actors[0]!, counter: 5, clock: stamp }),
    encodeForget('some key'),
    encodeHint('b', 'some key', 1e12),
    encodeTold('b', 'some key'),
    encodeRingRecord(encodeRing(rings()[1]!)),
    ...sets.map((set) => encodeSet('some key', encoded(set), stamp)),
  ];
  return stateless('storeRecords', 'the records of a store on its disk', corpus, (input) => {
    const reader = new ByteReader(input);
    const record = decodeRecord(reader);
    if (record.type === 'set') {
      const writer = new ByteWriter();
      encodeVersions(writer, record.set);
      const again = decodeRecord(new ByteReader(encodeSet(record.key, writer.take(), record.clock)));
      must(again.type === 'set' && again.key === record.key, 'a record that reads otherwise');
    }
    if (record.type === 'hint') {
      const { member, key, since } = record;
      const again = decodeRecord(new ByteReader(encodeHint(member, key, since)));
      must(JSON.stringify(again) === JSON.stringify(record), 'a hint that reads otherwise');
    }
    return TAKEN;
  });
}
