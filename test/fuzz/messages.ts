/** Raft's messages, as members send them. */
import { encodeMembership, foundingMembership } from '../../lib/consensus/membership.js';
import type { Entry, Epoch } from '../../lib/consensus/consensus.js';
import type { RaftMessage } from '../../lib/consensus/raft/messages.js';

const epoch: Epoch = { config: 0, n: 1, priority: 0, node: 'b' };
const next: Epoch = { config: 0, n: 2, priority: 0, node: 'c' };

function entry(index: number, more: Partial<Entry> = {}): Entry {
  return { index, count: 1, epoch, time: 1e12 + index, kind: 'user', data: Uint8Array.of(1, 2, 3), ...more };
}

const founding = encodeMembership({ ...foundingMembership(['a', 'b', 'c']), genesis: 'G' });

export function raftMessages(): RaftMessage[] {
  return [
    {
      type: 'vote',
      pre: true,
      term: 2,
      lastIndex: 3,
      lastTerm: 1,
      genesis: 'G',
      recorded: 'A',
      transfer: false,
    },
    {
      type: 'vote',
      pre: false,
      term: 12,
      lastIndex: 3,
      lastTerm: 1,
      genesis: '',
      recorded: '',
      transfer: false,
    },
    {
      type: 'vote',
      pre: false,
      term: 3,
      lastIndex: 8,
      lastTerm: 2,
      genesis: 'G',
      recorded: 'A',
      transfer: true,
    },
    { type: 'voteReply', pre: true, granted: true, term: 2, genesis: 'G' },
    { type: 'voteReply', pre: false, granted: false, term: 1, genesis: '' },
    {
      type: 'append',
      term: 1,
      prevIndex: 0,
      prevEpoch: { config: 0, n: 0, priority: 0, node: '' },
      commit: 0,
      entries: [],
    },
    {
      type: 'append',
      term: 2,
      prevIndex: 0,
      prevEpoch: { config: 0, n: 0, priority: 0, node: '' },
      commit: 4,
      entries: [
        entry(1, { kind: 'config', data: founding }),
        entry(2),
        entry(3, { count: 5, data: new Uint8Array(40) }),
        entry(8, { epoch: next, kind: 'noop', data: new Uint8Array(0) }),
      ],
    },
    {
      type: 'append',
      term: 2,
      prevIndex: 8,
      prevEpoch: next,
      commit: 8,
      entries: [entry(9, { epoch: next })],
    },
    { type: 'heartbeat', term: 2, commit: 8, round: 3, genesis: 'G', promiseMs: 0 },
    { type: 'heartbeat', term: 2, commit: 8, round: 4, genesis: '', promiseMs: 300 },
    { type: 'ack', term: 2, matched: 3, round: 1, promised: true, conflict: undefined },
    {
      type: 'ack',
      term: 2,
      matched: 0,
      round: 1,
      promised: false,
      conflict: { prevIndex: 8, index: 3, epoch },
    },
    { type: 'read', batch: 77 },
    { type: 'readReply', batch: 77, index: 8 },
    { type: 'timeoutNow', term: 2 },
    { type: 'quiet', term: 2, index: 8, attempt: 1, begins: false },
    { type: 'quiet', term: 2, index: 8, attempt: 1, begins: true },
    { type: 'quietReply', term: 2, attempt: 1, ok: true },
    { type: 'wake', term: 2 },
  ];
}
