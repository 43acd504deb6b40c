/**
 * Locks that expire, and why a fencing token goes with them: one worker takes a lock and is held up until it has expired;
 * another takes it over; and what the lock guards turns the first one away when it wakes, by its older token.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { joinMesh, lock, memoryNetwork, memoryStorage, openReplica, type Mesh } from 'quorate';

const transport = memoryNetwork();
const members = ['a', 'b', 'c'];
const meshes: Mesh[] = [];
async function start(id: string) {
  const mesh = await joinMesh({
    id,
    cluster: 'example',
    secret: 'a secret of sixteen bytes or more',
    transport,
  });
  meshes.push(mesh);
  return openReplica({ mesh, group: 'locks', members, stateMachine: lock(), storage: memoryStorage() });
}
const [a, b] = await Promise.all([start('a'), start('b'), start('c')]);

/** What the lock guards. It remembers the largest token that it has seen, and refuses smaller ones. */
const report = {
  text: '',
  newest: 0,
  write(text: string, token: number): boolean {
    if (token < this.newest) return false;
    this.newest = token;
    this.text = text;
    return true;
  },
};

const ttlMs = 500;
const first = await a.submit({ op: 'acquire', name: 'report', ttlMs });
console.log(`a acquires the lock: ${first.ok}, token ${first.token}`);

const denied = await b.submit({ op: 'acquire', name: 'report', ttlMs });
console.log(`b tries: ${denied.ok}, held by ${denied.owner}`);

console.log(`a is held up for longer than its ${ttlMs} ms`);
let second = denied;
while (!second.ok) {
  await sleep(50);
  second = await b.submit({ op: 'acquire', name: 'report', ttlMs: 60_000 });
}
console.log(
  `b acquires the lock: ${second.ok}, token ${second.token}, larger: ${second.token > first.token}`,
);
console.log('b writes:', report.write('by b', second.token));

// a believes to hold the lock still; it does not ask, it just writes.
console.log('a wakes and writes:', report.write('by a', first.token), '(refused: its token is old)');
const renewed = await a.submit({ op: 'renew', name: 'report', token: first.token, ttlMs });
console.log('a renews:', renewed.ok);
console.log(`the report is "${report.text}"`);

const released = await b.submit({ op: 'release', name: 'report', token: second.token });
console.log('b releases the lock:', released.ok);
console.log('who holds it now:', await a.query({ op: 'get', name: 'report' }));

await Promise.all(meshes.map((mesh) => mesh.close()));
