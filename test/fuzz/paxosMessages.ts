/** Paxos's messages, as members send them. */
import { encodeMembership, foundingMembership } from '../../lib/consensus/membership.js';
import type { Entry, Epoch } from '../../lib/consensus/consensus.js';
import type { PaxosMessage } from '../../lib/consensus/paxos/messages.js';

const none: Epoch = { config: 0, n: 0, priority: 0, node: '' };
const first: Epoch = { config: 0, n: 1, priority: 0, node: 'b' };
const second: Epoch = { config: 1, n: 2, priority: 0, node: 'b' };
const third: Epoch = { config: 1, n: 3, priority: 1, node: 'c' };

function entry(index: number, epoch: Epoch, more: Partial<Entry> = {}): Entry {
  return { index, count: 1, epoch, time: 1e12 + index, kind: 'user', data: Uint8Array.of(1, 2, 3), ...more };
}

const members = { ...foundingMembership(['a', 'b', 'c']), genesis: 'G', config: 1 };
const founding = entry(1, first, { kind: 'config', data: encodeMembership(members) });
const log = [
  founding,
  entry(2, second, { kind: 'noop', data: new Uint8Array(0) }),
  entry(3, second, { count: 5, data: new Uint8Array(40) }),
];

export function paxosMessages(): PaxosMessage[] {
  return [
    { type: 'prepare', term: first, genesis: '', chosenBy: undefined },
    { type: 'prepare', term: second, genesis: 'G', chosenBy: first },
    {
      ...{ type: 'promise', granted: true, term: { ...first, node: 'a' }, lastEpoch: none, lastIndex: 0 },
      ...{ commit: 0, genesis: '' },
    },
    {
      ...{ type: 'promise', granted: false, term: third, lastEpoch: second, lastIndex: 7, commit: 2 },
      genesis: 'G',
    },
    { type: 'fetch', term: none, whole: false, prevIndex: 0, prevEpoch: none },
    { type: 'fetch', term: third, whole: true, prevIndex: 7, prevEpoch: second },
    {
      ...{ type: 'suffix', term: none, whole: false, prevIndex: 0, prevEpoch: none, entries: log, commit: 7 },
      conflict: undefined,
    },
    {
      ...{
        type: 'suffix',
        term: { ...third, node: 'a' },
        whole: true,
        prevIndex: 7,
        prevEpoch: second,
        entries: [],
      },
      ...{ commit: 2, conflict: { prevIndex: 7, index: 2, epoch: second } },
    },
    { type: 'ping', round: 1 },
    { type: 'pong', round: 1, config: 0, ballot: none, leader: none, happy: false },
    { type: 'pong', round: 9, config: 1, ballot: third, leader: third, happy: true },
    { type: 'append', term: first, prevIndex: 0, prevEpoch: none, commit: 0, entries: [] },
    { type: 'append', term: second, prevIndex: 0, prevEpoch: none, commit: 1, entries: log },
    {
      ...{ type: 'append', term: third, prevIndex: 7, prevEpoch: second, commit: 7 },
      entries: [entry(8, third)],
    },
    { type: 'heartbeat', term: second, commit: 7, round: 3, genesis: 'G', promiseMs: 0 },
    { type: 'heartbeat', term: third, commit: 7, round: 4, genesis: '', promiseMs: 300 },
    { type: 'ack', term: second, matched: 3, round: 1, promised: true, conflict: undefined },
    {
      ...{ type: 'ack', term: second, matched: 0, round: 1, promised: false },
      conflict: { prevIndex: 7, index: 2, epoch: second },
    },
    { type: 'read', batch: 77 },
    { type: 'readReply', batch: 77, index: 8 },
    { type: 'timeoutNow', term: second },
  ];
}
