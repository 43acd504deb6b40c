/** A client between members that a test speaks for, in virtual time. */
import { expect } from 'chai';
import type { Environment } from '../../../../lib/environment.js';
import type { ErrorCode, Fate } from '../../../../lib/errors.js';
import type { Mesh } from '../../../../lib/mesh/mesh.js';
import type { MeshListener, MeshPort } from '../../../../lib/mesh/port.js';
import { cbor } from '../../../../lib/replica/codec.js';
import { checkClientOptions } from '../../../../lib/replica/client/clientTypes.js';
import { ClientDesk, standing } from '../../../../lib/replica/client/desk.js';
import { GroupClient } from '../../../../lib/replica/client/groupClient.js';
import {
  frameOf,
  readMessages,
  type ClientMessage,
  type Message,
} from '../../../../lib/replica/client/wire.js';
import { failure } from './support.js';

type Submit = Extract<ClientMessage, { op: 'submit' }>;

class Bench {
  now = 0;
  full = false;
  readonly said: { readonly to: string; readonly message: Message }[] = [];
  readonly links = new Map<string, number>();
  readonly client: GroupClient;
  #timers: { at: number; callback: () => void }[] = [];
  #deferred: (() => void)[] = [];
  #drained: (() => void)[] = [];
  #handler: Parameters<MeshPort['handle']>[1] = () => true;
  #listener: MeshListener = { onPeer: () => undefined };
  #sessions = 0;

  constructor() {
    const port = {
      linked: () => this.links,
      maxFrameBytes: (peer: string) => (this.links.has(peer) ? 100_000 : 0),
      handle: (_kind: number, handler: Parameters<MeshPort['handle']>[1]) => void (this.#handler = handler),
      listen: (listener: MeshListener) => void (this.#listener = listener),
      whenDrained: (_peer: string, _lane: string, callback: () => void) => void this.#drained.push(callback),
      send: (to: string, _kind: number, frame: Uint8Array, options: { urgent?: boolean }) => {
        if (!this.links.has(to) || (this.full && options.urgent !== true)) return false;
        return readMessages(frame, (message) => this.said.push({ to, message }) > 0);
      },
    } as unknown as MeshPort;
    const environment = {
      now: () => this.now,
      random: () => 0,
      randomBytes: (length: number) => new Uint8Array(length).fill(7),
      defer: (callback: () => void) => void this.#deferred.push(callback),
      setTimer: (ms: number, callback: () => void) => {
        const timer = { at: this.now + ms, callback };
        this.#timers.push(timer);
        return { cancel: () => (this.#timers = this.#timers.filter((one) => one !== timer)) };
      },
    } as unknown as Environment;
    const options = checkClientOptions({ mesh: undefined as unknown as Mesh, group: 'g' });
    this.client = new GroupClient('x', new ClientDesk(port, environment), options);
  }

  turn(): void {
    while (this.#deferred.length > 0) for (const callback of this.#deferred.splice(0)) callback();
  }

  pass(ms: number): void {
    const end = this.now + ms;
    this.turn();
    for (;;) {
      const due = this.#timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (due === undefined) break;
      this.#timers = this.#timers.filter((one) => one !== due);
      this.now = Math.max(this.now, due.at);
      due.callback();
      this.turn();
    }
    this.now = end;
  }

  drain(): void {
    this.full = false;
    for (const callback of this.#drained.splice(0)) callback();
    this.pass(10);
  }

  link(peer: string): void {
    this.links.set(peer, ++this.#sessions);
    this.#listener.onPeer(peer, true, this.#sessions);
    this.turn();
  }

  unlink(peer: string): void {
    this.links.delete(peer);
    this.#listener.onPeer(peer, false, this.#sessions);
    this.turn();
  }

  hear(peer: string, message: Message): boolean {
    const sound = this.#handler(peer, this.links.get(peer)!, frameOf(message));
    this.turn();
    return sound === true;
  }

  serve(peer: string, quorum = true, leader = ''): void {
    if (!this.links.has(peer)) this.link(peer);
    this.hear(peer, standing(1, 'serving', { quorum, leader }));
  }

  fail(peer: string, code: ErrorCode, fate?: Fate): void {
    const failed = { code, fate, message: 'said', reason: undefined, data: undefined };
    this.hear(peer, {
      op: 'failure',
      channel: 1,
      request: this.submits.at(-1)!.message.request,
      failure: failed,
    });
  }

  answer(peer: string, value: unknown): void {
    const { request } = this.submits.at(-1)!.message;
    this.hear(peer, { op: 'result', channel: 1, request, body: cbor().encode(value) });
  }

  get submits(): { readonly to: string; readonly message: Submit }[] {
    return this.said.flatMap(({ to, message }) => (message.op === 'submit' ? [{ to, message }] : []));
  }

  get asked(): string[] {
    return this.submits.map(({ to }) => to);
  }

  submit(timeout = 30_000): Promise<unknown> {
    const call = this.client.submit('c', { timeout, requestId: 'id' });
    call.catch(() => undefined);
    this.turn();
    return call;
  }
}

describe('the way of a call from member to member', () => {
  let bench: Bench;

  beforeEach(() => {
    bench = new Bench();
  });

  it('asks another when one says nothing for too long, under the same request id', async () => {
    bench.serve('a');
    const call = bench.submit();
    bench.serve('b');
    bench.pass(4900);
    expect(bench.asked).to.deep.equal(['a']);
    bench.pass(200);
    expect(bench.asked).to.deep.equal(['a', 'b']);
    expect(bench.submits.map(({ message }) => message.requestId)).to.deep.equal(['id', 'id']);
    bench.answer('a', 'late'); // an answer to the first attempt is as good
    expect(await call).to.equal('late');
  });

  it('asks the same member again, ever more seldom, where there is no other', () => {
    bench.serve('a');
    void bench.submit(60_000);
    bench.pass(10_000);
    expect(bench.asked).to.have.length(2);
    bench.pass(20_000);
    expect(bench.asked).to.have.length(3);
  });

  it('goes on at once where a member cannot, and hears no more of it there', async () => {
    bench.serve('a');
    const call = bench.submit();
    bench.serve('b');
    bench.fail('a', 'ERR_NOT_READY', 'refused');
    expect(bench.asked).to.deep.equal(['a', 'b']);
    bench.fail('a', 'ERR_STORAGE_FULL', 'refused'); // of the former attempt
    expect(bench.client.status().pending.commands).to.equal(1);
    bench.answer('b', 1);
    expect(await call).to.equal(1);
  });

  it('what all refused is refused, what one may have is ambiguous, whatever others say', async () => {
    const ends: [Fate | undefined, Fate][] = [
      ['refused', 'refused'],
      ['ambiguous', 'ambiguous'],
      [undefined, 'ambiguous'],
    ];
    for (const [first, fate] of ends) {
      bench = new Bench();
      bench.serve('a');
      const call = bench.submit();
      bench.serve('b');
      bench.fail('a', 'ERR_CLOSED', first);
      bench.fail('b', 'ERR_OVERLOADED', 'refused');
      expect(await failure(call)).to.include({ code: 'ERR_OVERLOADED', fate, requestId: 'id' });
    }
  });

  it('a member that is lost may have it', async () => {
    bench.serve('a');
    const call = bench.submit(3000);
    bench.unlink('a');
    bench.pass(3001);
    expect(await failure(call)).to.include({ code: 'ERR_TIMEOUT', fate: 'ambiguous' });
  });

  it('goes to another at once when a link breaks', () => {
    bench.serve('a');
    void bench.submit();
    bench.serve('b');
    bench.unlink('a');
    expect(bench.asked).to.deep.equal(['a', 'b']);
  });

  it('what the link did not take has not left', async () => {
    bench.serve('a');
    bench.full = true;
    const call = bench.submit(3000);
    bench.pass(3001);
    expect(await failure(call)).to.include({ code: 'ERR_TIMEOUT', fate: 'refused' });
    const next = bench.submit();
    bench.drain();
    expect(bench.asked).to.deep.equal(['a']);
    bench.answer('a', 5);
    expect(await next).to.equal(5);
  });

  it('leaves a member without a quorum for one that has it, and stays where there is none', () => {
    bench.serve('a');
    void bench.submit();
    bench.serve('a', false);
    expect(bench.asked).to.deep.equal(['a']);
    bench.serve('b');
    expect(bench.asked).to.deep.equal(['a', 'b']);
  });

  it('learns of the leader, for what comes next', () => {
    bench.serve('a');
    bench.serve('b');
    bench.serve('a', true, 'b');
    void bench.submit();
    expect(bench.client.status()).to.deep.include({ member: 'a', leader: 'b' });
    bench.serve('b', true, 'b');
    void bench.submit();
    expect(bench.asked).to.deep.equal(['a', 'b']);
  });

  it('opens its channel to every new link, and again where a peer says that it is there', () => {
    const opens = (): string[] =>
      bench.said.filter(({ message }) => message.op === 'open').map(({ to }) => to);
    bench.link('a');
    bench.link('b');
    bench.hear('a', { op: 'here' });
    expect(opens()).to.deep.equal(['a', 'b', 'a']);
    void bench.client.close();
    expect(bench.said.slice(-2).map(({ message }) => message.op)).to.deep.equal(['shut', 'shut']);
  });

  it('leaves no timer behind when it is closed', async () => {
    bench.serve('a');
    const call = bench.submit();
    await bench.client.close();
    expect(await failure(call)).to.include({ code: 'ERR_CLOSED', fate: 'ambiguous' });
    const said = bench.said.length;
    bench.pass(100_000);
    expect(bench.said).to.have.length(said);
  });
});
