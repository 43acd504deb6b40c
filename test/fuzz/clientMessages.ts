/** Messages of all kinds between clients and members. */
import type { Message } from '../../lib/replica/client/wire.js';

export function clientMessages(): Message[] {
  const body = Uint8Array.of(1, 2, 3);
  const place = { channel: 3, request: 70_000 };
  const standing = { op: 'standing', channel: 3, quorum: true, leader: 'a', code: '', message: '' } as const;
  const failure = {
    code: 'ERR_TIMEOUT',
    fate: 'ambiguous',
    message: 'no',
    reason: undefined,
    data: undefined,
  } as const;
  return [
    { op: 'open', channel: 3, version: 1, group: 'settings' },
    { op: 'shut', channel: 3 },
    { op: 'submit', ...place, requestId: 'r-1', body },
    { op: 'query', ...place, consistency: 'linearizable', body },
    { op: 'query', ...place, consistency: 'local', body: new Uint8Array(0) },
    { op: 'query', ...place, consistency: { maxLagMs: 500 }, body },
    { op: 'follow', ...place, from: undefined, count: 10, bytes: 1000 },
    { op: 'follow', ...place, from: 0, count: 0, bytes: 0 },
    { op: 'grant', ...place, count: 2000, bytes: 2 ** 40 },
    { op: 'leave', ...place },
    { op: 'here' },
    { ...standing, serving: 'serving' },
    { ...standing, serving: 'absent', quorum: false, leader: '' },
    { ...standing, serving: 'refused', code: 'ERR_NOT_SERVED', message: 'clients: false' },
    { op: 'result', ...place, body },
    { op: 'failure', ...place, failure },
    { op: 'failure', ...place, failure: { ...failure, fate: undefined, reason: 'why', data: body } },
    {
      op: 'changes',
      ...place,
      changes: [
        { type: 'reset', index: 7 },
        { type: 'applied', index: 8, time: 1.7e12, origin: 'a', ok: true, command: body },
        { type: 'applied', index: 9, time: 1.7e12, origin: 'b', ok: false, command: new Uint8Array(0) },
      ],
    },
  ];
}
