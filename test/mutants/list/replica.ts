/** Bugs between the core and the state machine: engine, snapshots, sessions, reads. */
import type { Mutant } from '../mutant.js';

export const replicaMutants: readonly Mutant[] = [
  {
    name: 'sessions are left out of snapshots',
    file: 'replica/snapshotFormat.ts',
    find: 'sessions: image.sessions.map((s) => [',
    replace: 'sessions: [].map((s: SessionImage) => [',
    pitfall: 'the table of sessions is left out of snapshots',
    within: 20,
  },
  {
    name: 'what a session applied is left out of snapshots',
    file: 'replica/snapshotFormat.ts',
    find: `      s.ranges,
`,
    replace: `      [],
`,
    pitfall: 'snapshots know no sequences above the floor',
    within: 100,
  },
  {
    name: 'a batch that comes twice is applied twice',
    file: 'replica/applier.ts',
    find: 'const found = fresh ? undefined : session.find(header.first + at);',
    replace: "const found = undefined as ReturnType<Session['find']>;",
    pitfall: 'no deduplication',
    within: 60,
  },
  {
    name: 'a retry gets a new sequence',
    file: 'replica/submitter.ts',
    find: `  retry(id: SequenceId, command: unknown, waiter: Waiter): void {
`,
    replace: `  retry(id: SequenceId, command: unknown, waiter: Waiter): void {
    if (id.session !== this.#own.id) return this.add(command, undefined, waiter);
`,
    pitfall: 'a request id is forgotten at a retry',
    within: 100,
  },
  {
    name: 'a leap of the clock empties the memory',
    file: 'replica/logAge.ts',
    find: 'Math.min(time - this.time, MOST_STEP_MS)',
    replace: 'time - this.time',
    pitfall: 'a command is done twice after a clock was set forward',
    within: 0,
    tests: 'replica/sessions.test.ts',
  },
  {
    name: 'a retry gets the result of another command',
    file: 'replica/sessions.ts',
    find: 'outcome: block.outcomes[at] }',
    replace: 'outcome: block.outcomes[0] }',
    pitfall: 'a retry gets the result of another command',
    within: 200,
    kinds: ['crash', 'reset', 'cut', 'partition'],
  },
  {
    name: 'what may be in the log is called refused',
    file: 'replica/pending.ts',
    find: 'if (this.accepted.size === 0 && !this.promised) {',
    replace: 'if (!this.promised) {',
    pitfall: 'a command that may take effect is called refused',
    within: 20,
  },
  {
    name: 'a read is answered before its index is applied',
    file: 'replica/reads.ts',
    find: 'if (applied >= index) {',
    replace: 'if (applied >= 0) {',
    pitfall: 'a read is answered before its index is applied',
    within: 20,
  },
  {
    name: 'failed reads are not asked again',
    file: 'replica/reads.ts',
    find: `    for (const waiter of round.waiters) if (!waiter.done) this.#queued.push(waiter);
`,
    replace: '',
    pitfall: 'liveness: reads are dropped in silence (etcd#11483)',
    within: 60,
  },
  {
    name: 'what a snapshot holds is applied again',
    file: 'engine/handover.ts',
    find: `    this.#handed = index;
    this.committed(index);`,
    replace: '    this.committed(index);',
    pitfall: 'an applier begins from 1 after a restore',
    within: 40,
  },
  {
    name: 'entries are handed over while a snapshot is restored',
    file: 'engine/group.ts',
    find: `      if (effects.install) this.#handover.pause();
`,
    replace: '',
    pitfall: 'entries are applied while a snapshot is restored',
    within: 120,
  },
  {
    name: 'the state is not restored at the start',
    file: 'engine/group.ts',
    find: `    if (setup.snapshot) this.#restore();
`,
    replace: '',
    pitfall: 'a restart forgets the state machine',
    within: 20,
  },
  {
    name: 'a snapshot is installed before it is durable',
    file: 'engine/incomingTransfers.ts',
    find: `      await partial.writer?.commit(meta);
      group.core.install(this.#host.now(), peer, meta);`,
    replace: `      group.core.install(this.#host.now(), peer, meta);
      await partial.writer?.commit(meta);`,
    pitfall: 'a snapshot is installed before it is on disk',
    within: 40,
  },
  {
    name: 'a snapshot that came in parts is not checked as a whole',
    file: 'engine/incomingTransfers.ts',
    find: ' && partial.hash.digest().equals(digest)',
    replace: '',
    pitfall: 'halves of two snapshots are put together',
    within: 1,
    tests: 'engine/incomingTransfers.test.ts',
  },
  {
    name: 'whatever the receiver has counts as the beginning',
    file: 'engine/snapshotStream.ts',
    find: '    if (!hash.copy().digest().equals(digest)) return false;\n',
    replace: '',
    pitfall: 'a transfer goes on behind the beginning of another snapshot',
    within: 1,
    tests: 'engine/snapshotStream.test.ts',
  },
  {
    name: 'a member sends its snapshot for whoever asks',
    file: 'engine/transfers.ts',
    find: 'known !== leader || ',
    replace: '',
    pitfall: 'any peer has members send snapshots around',
    within: 1,
    tests: 'engine/delegation.test.ts',
  },
  {
    name: 'the log is compacted beyond the snapshot',
    file: 'engine/group.ts',
    find: 'Math.min(held, meta.index + 1 - keepEntries)',
    replace: 'Math.min(held, meta.index + 2 - keepEntries)',
    pitfall: 'the log is compacted beyond its snapshot (etcd#10308)',
    within: 30,
  },
  {
    name: 'a failed write counts as durable',
    file: 'engine/group.ts',
    find: `    if (error) {
      this.core.ioFailed(error);
      this.fail(error);
    } else {`,
    replace: '    {',
    pitfall: 'a failed write counts as durable (fsyncgate)',
    within: 20,
  },
  {
    name: 'writes count as durable when they are handed over',
    file: 'engine/turns.ts',
    find: '        store.write(writes, done);',
    replace: `        store.write(writes, () => undefined);
        done();`,
    pitfall: 'an acknowledgement before the write is done',
    within: 20,
  },
  {
    name: 'nothing is applied after a snapshot was received',
    file: 'engine/handover.ts',
    find: `    this.#paused = false;
`,
    replace: '',
    pitfall: 'liveness: a member is stuck after a snapshot (etcd#10308)',
    within: 120,
  },
  {
    name: 'a lost link is not made again',
    file: 'mesh/peer.ts',
    find: `    this.#schedule(this.#backoff.next() + (this.#offers ? 0 : askDelayMs));
`,
    replace: '',
    pitfall: 'liveness: no reconnection',
    within: 40,
  },
  {
    name: 'contacts are made once',
    file: 'engine/engine.ts',
    find: `    if (up) for (const group of this.#groups.values()) group.greetings.greet(peer, true);
`,
    replace: '',
    pitfall: 'liveness: a hello is sent only when a group is opened',
    within: 60,
  },
  {
    name: 'a client calls refused what a member may have taken',
    file: 'replica/client/call.ts',
    find: 'const ambiguous = this.unsure || this.at !== undefined;',
    replace: 'const ambiguous = this.at !== undefined;',
    pitfall: 'a command that was sent to a member that is lost is called refused',
    within: 1,
    tests: 'replica/client/simulation.test.ts',
  },
  {
    name: 'what a client sends again has another request id',
    file: 'replica/client/call.ts',
    find: 'return { channel, request: this.request, ...this.asked };',
    replace: `const { attempts, asked } = this;
    const own = asked.op === 'submit' ? { requestId: \`\${asked.requestId}/\${attempts}\` } : {};
    return { channel, request: this.request, ...asked, ...own } as ClientMessage;`,
    pitfall: 'a command is sent to another member as a new one',
    within: 1,
    tests: 'replica/client/simulation.test.ts',
  },
];
