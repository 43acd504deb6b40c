import { expect } from 'chai';
import { cbor } from '../../../../lib/replica/codec.js';
import { ChangeFeed, type AppliedChange, type Change } from '../../../../lib/replica/changes.js';
import { ClientStream, STREAM_WINDOW } from '../../../../lib/replica/client/clientStream.js';
import type { WireChange } from '../../../../lib/replica/client/wire.js';
import { failure, leaderOf, until, World } from './support.js';

const applied = (index: number): AppliedChange => ({
  type: 'applied',
  index,
  time: 1,
  origin: 'a',
  command: index,
  ok: true,
});

describe('the changes that are kept for followers', () => {
  it('are those after an index, or a reset where they are not at hand', () => {
    const feed = new ChangeFeed(() => undefined);
    let woken = 0;
    const stop = feed.follow(10, () => woken++);
    for (let index = 11; index <= 40; index++) feed.applied(applied(index));
    expect(woken).to.equal(30);
    expect(feed.after(40, 10, 1000).map(({ index }) => index)).to.deep.equal(
      Array.from({ length: 30 }, (_, i) => i + 11),
    );
    expect(feed.after(40, 35, 3).map(({ index }) => index)).to.deep.equal([36, 37, 38]);
    expect(feed.after(40, 40, 3)).to.deep.equal([]);
    for (const from of [undefined, 9, 41])
      expect(feed.after(40, from, 3)).to.deep.equal([{ type: 'reset', index: 40 }]);
    feed.reset(50);
    expect(feed.after(50, 40, 3)).to.deep.equal([{ type: 'reset', index: 50 }]);
    stop();
    feed.applied(applied(51));
    expect(woken).to.equal(31);
  });

  it('are so many, and who is behind them gets a reset', () => {
    const feed = new ChangeFeed(() => undefined);
    feed.follow(0, () => undefined);
    for (let index = 1; index <= 20_000; index++) feed.applied(applied(index));
    expect(feed.after(20_000, 1, 10)).to.deep.equal([{ type: 'reset', index: 20_000 }]);
    expect(feed.after(20_000, 17_000, 1)).to.deep.equal([applied(17_001)]);
  });
});

describe("a client's end of a stream", () => {
  const wire = (index: number, bytes = 1): WireChange => ({
    type: 'applied',
    index,
    time: 1,
    origin: 'a',
    ok: true,
    command: bytes === 1 ? cbor().encode(index) : new Uint8Array(bytes),
  });

  function make(from = 0) {
    const told = { grants: 0, ended: 0 };
    const stream = new ClientStream(cbor(), from, { grant: () => told.grants++, ended: () => told.ended++ });
    stream.begin('a', 1);
    return { stream, told };
  }

  it('takes no more than it granted, in count', () => {
    const { stream } = make();
    for (let index = 1; index < STREAM_WINDOW.count; index++)
      expect(stream.push([wire(index)])).to.equal(true);
    expect(stream.push([wire(5000), wire(5001)])).to.equal(false);
  });

  it('takes no more than it granted, in bytes, but for one change', () => {
    const { stream } = make();
    expect(stream.push([wire(1, STREAM_WINDOW.bytes + 1)])).to.equal(true);
    expect(stream.push([wire(2)])).to.equal(false);
  });

  it('takes nothing out of order, and first of all a reset where it named no index', () => {
    const fresh = new ClientStream(cbor(), undefined, { grant: () => undefined, ended: () => undefined });
    fresh.begin('a', 1);
    expect(fresh.push([wire(1)])).to.equal(false);
    expect(fresh.push([{ type: 'reset', index: 5 }, wire(6)])).to.equal(true);
    const { stream } = make(10);
    expect(stream.push([wire(11), wire(12)])).to.equal(true);
    expect(make(10).stream.push([wire(10)])).to.equal(false);
    expect(stream.push([wire(12)])).to.equal(false);
  });

  it('grants more as it is read, and not for each change', async () => {
    const { stream, told } = make();
    for (let round = 0; round < 10; round++) {
      for (let i = 1; i <= STREAM_WINDOW.count; i++)
        expect(stream.push([wire(round * STREAM_WINDOW.count + i)])).to.equal(true);
      for (let i = 0; i < STREAM_WINDOW.count; i++) await stream.next();
    }
    expect(told.grants).to.be.within(10, 40);
  });

  it('a full one that goes on elsewhere has no credit until it is read', async () => {
    const { stream, told } = make();
    for (let i = 1; i <= STREAM_WINDOW.count; i++) stream.push([wire(i)]);
    stream.begin('b', 2);
    expect(stream.granted.count).to.equal(0);
    for (let i = 0; i < STREAM_WINDOW.count; i++) await stream.next();
    expect(told.grants).to.be.greaterThan(0);
    expect(stream.granted.count).to.be.within(STREAM_WINDOW.count / 2, STREAM_WINDOW.count);
    expect(stream.push([wire(9000)])).to.equal(true);
  });

  it('fails for what the codec cannot decode', async () => {
    const { stream, told } = make();
    stream.push([wire(1), { ...wire(2), command: Uint8Array.of(0xff) } as WireChange, wire(3)]);
    await stream.next();
    expect((await failure(stream.next())).code).to.equal('ERR_CODEC');
    expect(await stream.next()).to.deep.equal({ done: true, value: undefined });
    expect(told.ended).to.equal(1);
  });

  it('what came before the end can still be read', async () => {
    const { stream } = make();
    stream.push([wire(1)]);
    stream.end();
    expect((await stream.next()).value).to.include({ index: 1 });
    expect((await stream.next()).done).to.equal(true);
  });
});

describe('changes for a client', () => {
  let world: World;

  beforeEach(() => {
    world = new World();
  });

  afterEach(async () => {
    await world.close();
  });

  const take = async (stream: AsyncIterator<Change>, count: number): Promise<Change[]> => {
    const out: Change[] = [];
    while (out.length < count) out.push((await stream.next()).value as Change);
    return out;
  };

  it('begin with a reset and follow every command, also those that fail', async () => {
    const replicas = await world.group();
    const client = await world.client();
    const stream = client.changes();
    const [reset] = await take(stream, 1);
    expect(reset).to.include({ type: 'reset' });
    await client.submit({ op: 'add', by: 1 });
    await failure(client.submit({ op: 'add', by: -1 }));
    const [one, two] = (await take(stream, 2)) as AppliedChange[];
    expect(one).to.deep.include({ type: 'applied', ok: true, command: { op: 'add', by: 1 } });
    expect(one!.origin).to.equal(client.status().member);
    expect(one!.time).to.be.greaterThan(1e12);
    expect(two).to.deep.include({ ok: false, command: { op: 'add', by: -1 } });
    const again = client.changes({ from: one!.index });
    expect(await take(again, 1)).to.deep.equal([two]);
    expect(client.status().pending.streams).to.equal(2);
    await again.return!();
    expect(client.status().pending.streams).to.equal(1);
    expect(replicas).to.have.length(3);
  });

  it('a reader that stands still holds the member back, and is told of a gap rather than buffered for', async () => {
    const leader = await world.member('a', { members: ['a'] });
    const client = await world.client();
    const stream = client.changes();
    await take(stream, 1);
    const count = 12_000;
    for (let sent = 0; sent < count; sent += 2000)
      await Promise.all(Array.from({ length: 2000 }, () => leader.submit({ op: 'add', by: 1 })));
    const read: Change[] = [];
    const { appliedIndex } = leader.status();
    for (let last = 0; last < appliedIndex; last = read.at(-1)!.index) read.push(...(await take(stream, 1)));
    const gap = read.findIndex(({ type }) => type === 'reset');
    expect(gap, 'what was on its way before the gap').to.be.within(1, STREAM_WINDOW.count);
    for (let i = 1; i < read.length; i++) expect(read[i]!.index).to.be.greaterThan(read[i - 1]!.index);
  });

  it('all of many commands come, in order, to a reader that keeps up', async () => {
    await world.group();
    const client = await world.client();
    const stream = client.changes();
    await take(stream, 1);
    const reading = take(stream, 5000);
    for (let i = 0; i < 5; i++)
      await Promise.all(Array.from({ length: 1000 }, () => client.submit({ op: 'add', by: 1 })));
    const read = await reading;
    for (let i = 1; i < read.length; i++) expect(read[i]!.index).to.be.greaterThan(read[i - 1]!.index);
    expect(new Set(read.map(({ type }) => type))).to.deep.equal(new Set(['applied']));
  });

  it('go on at another member, with nothing twice', async () => {
    const replicas = await world.group();
    const client = await world.client();
    const read: Change[] = [];
    const reading = (async () => {
      for await (const change of client.changes()) read.push(change);
    })();
    await client.submit({ op: 'add', by: 1 });
    await until('the first', () => read.at(-1)?.type === 'applied');
    await leaderOf(replicas).close();
    await client.submit({ op: 'add', by: 2 });
    await client.submit({ op: 'add', by: 3 });
    const total = await client.query({ op: 'total' });
    expect(total).to.equal(6);
    const end = Math.max(...replicas.map((replica) => replica.status().appliedIndex));
    await until('the end', () => read.at(-1)!.index >= end - 1);
    for (let i = 1; i < read.length; i++)
      expect(read[i]!.index).to.be.greaterThan(read[i - 1]!.index - (read[i]!.type === 'reset' ? 1 : 0));
    await client.close();
    await reading;
  });

  it('end by their signal, with their client, and when they are left', async () => {
    await world.group();
    const client = await world.client();
    const controller = new AbortController();
    const stream = client.changes({ signal: controller.signal });
    await take(stream, 1);
    const next = stream.next();
    controller.abort();
    expect((await next).done).to.equal(true);
    expect((await client.changes({ signal: controller.signal }).next()).done).to.equal(true);
    for await (const change of client.changes()) {
      expect(change.type).to.equal('reset');
      break;
    }
    expect(client.status().pending.streams).to.equal(0);
    const last = client.changes();
    await take(last, 1);
    await client.close();
    expect((await last.next()).done).to.equal(true);
    expect(() => client.changes({ from: -1 })).to.throw();
  });
});
