import { expect } from 'chai';
import { beforeEach, describe, it } from 'mocha';
import { Connection } from '../../../lib/mesh/webrtc/connection.js';
import { maxCandidates } from '../../../lib/mesh/webrtc/messages.js';
import { Ports } from '../../../lib/mesh/webrtc/ports.js';
import { FakeNative, sdp } from './fakeNative.js';
import { VirtualEnvironment } from './support.js';

const candidate = (port: number): string => `a=candidate:1 1 UDP 1 192.0.2.1 ${port} typ host`;

describe('a connection and native code', () => {
  let fake: FakeNative;
  let environment: VirtualEnvironment;
  let said: string[];
  let connection: Connection;

  beforeEach(() => {
    fake = new FakeNative();
    environment = new VirtualEnvironment();
    said = [];
    connection = new Connection({
      native: fake.native,
      config: {
        relayOnly: false,
        bindAddress: () => undefined,
        ports: new Ports(),
        mtu: undefined,
      },
      environment,
      lane: 'control',
      iceServers: [],
      setup: 'actpass',
      onSignal: (kind, text, candidates) => said.push(`${kind} ${text ?? '-'} ${candidates.join()}`),
      onOpen: () => said.push('open'),
      onLost: (reason) => said.push(`lost ${reason}`),
      onError: (error) => said.push(String(error)),
    });
    fake.calls.length = 0;
  });

  it('watches everything whose end must be watched for the process to end', () => {
    expect(fake.connection['state']).to.be.a('function');
    expect(fake.channel['closed']).to.be.a('function');
  });

  it('holds candidates back until the remote description is set', () => {
    connection.takeCandidates([candidate(1), candidate(2)]);
    expect(fake.calls).to.deep.equal([]);
    expect(connection.takeOffer(sdp('actpass'))).to.equal(true);
    connection.takeCandidates([candidate(3)]);
    expect(fake.calls).to.deep.equal([
      'setRemoteDescription offer a=setup:active',
      'setLocalDescription answer',
      'addRemoteCandidate 1',
      'addRemoteCandidate 2',
      'addRemoteCandidate 3',
    ]);
  });

  it('takes so many candidates and no more, and no nonsense', () => {
    connection.takeOffer(sdp('actpass'));
    fake.calls.length = 0;
    connection.takeCandidates(['nonsense', 'a=candidate:1 1 UDP 1 evil.example 1 typ host']);
    for (let i = 0; i < 100; i++) connection.takeCandidates([candidate(i + 1)]);
    expect(fake.calls.length).to.equal(maxCandidates);
  });

  it('never answers in the stable state, which aborts the process', async () => {
    Object.defineProperty(fake, 'signalingState', { get: () => 'stable', set: () => undefined });
    connection.takeOffer(sdp('actpass'));
    expect(fake.calls).not.to.include('setLocalDescription answer');
    expect(said).to.deep.equal(['lost an offer that native code did not take']);
  });

  it('takes an answer only once, and only to an offer', () => {
    expect(connection.takeAnswer(sdp('passive'))).to.equal(false);
    connection.offer();
    fake.signalingState = 'have-local-offer';
    expect(connection.takeAnswer(sdp('actpass'))).to.equal(false);
    expect(connection.takeAnswer('nonsense')).to.equal(false);
    expect(connection.takeAnswer(sdp('passive'))).to.equal(true);
    expect(connection.takeAnswer(sdp('passive'))).to.equal(false);
    expect(fake.calls).to.deep.equal([
      'setLocalDescription offer',
      'setRemoteDescription answer a=setup:passive',
    ]);
  });

  it('says description and candidates of a turn in one message, never a candidate first', async () => {
    fake.connection['candidate']!(candidate(1), '0');
    await environment.run(1);
    expect(said).to.deep.equal([]);
    fake.connection['description']!('an offer', 'offer');
    fake.connection['candidate']!(candidate(2), '0');
    await environment.run(1);
    fake.connection['candidate']!(candidate(3), '0');
    await environment.run(1);
    expect(said).to.deep.equal([
      `offer an offer ${candidate(1)},${candidate(2)}`,
      `candidate - ${candidate(3)}`,
    ]);
  });

  it('gives up when it is connected but its channel does not open', async () => {
    fake.connection['state']!('connecting');
    fake.connection['state']!('connected');
    await environment.run(1400);
    expect(said).to.deep.equal([]);
    await environment.run(200);
    expect(said).to.deep.equal(['lost its channel did not open']);
    expect(fake.calls).to.deep.equal(['close']);
  });

  for (const state of ['failed', 'disconnected', 'closed']) {
    it(`ends at ${state}, once, and frees the native object`, () => {
      fake.channel['open']!();
      fake.connection['state']!(state);
      fake.connection['state']!('closed');
      fake.channel['closed']!();
      expect(said).to.deep.equal(['open', `lost ${state}`]);
      // The second close, on a closed connection, is what frees it.
      expect(fake.calls.filter((call) => call === 'close').length).to.be.at.least(2);
    });
  }

  it('lingers when it closes, never closes the channel itself, and reports nothing any more', async () => {
    fake.channel['open']!();
    connection.close();
    connection.close();
    expect(connection.lane.send(new Uint8Array(1))).to.equal(false);
    expect(fake.calls).to.deep.equal([]);
    await environment.run(60);
    expect(fake.calls).to.deep.equal(['close']);
    fake.channel['message']!(Buffer.from('late'));
    fake.channel['closed']!();
    fake.connection['state']!('closed');
    await connection.released;
    expect(said).to.deep.equal(['open']);
    expect(fake.calls).not.to.include('channel.close');
    expect(environment.timers).to.equal(0);
  });

  it('does not wait for ever for native code', async () => {
    connection.close();
    await environment.run(1100);
    await connection.released;
  });

  it('survives native code that throws', () => {
    fake.refuses = 'setLocalDescription';
    connection.offer();
    expect(said[0]).to.match(/^lost native code refused: .*setLocalDescription refused/);
    fake.refuses = 'addRemoteCandidate';
    connection.takeCandidates([candidate(1)]);
    fake.refuses = 'close';
    connection.close();
  });

  it('closes on a peer that opens channels of its own, and watches them', () => {
    let watched = 0;
    fake.connection['channel']!({ onClosed: () => watched++ });
    expect(said).to.deep.equal(['lost the peer opened a channel of its own']);
    expect(watched).to.equal(1);
  });

  it('keeps early messages in order, up to a cap', async () => {
    const got: number[] = [];
    fake.channel['message']!(Buffer.from([1]));
    connection.lane.onMessage = (message) => {
      got.push(message[0]!);
      if (message[0] === 1) fake.channel['message']!(Buffer.from([3]));
    };
    fake.channel['message']!(Buffer.from([2]));
    expect(got).to.deep.equal([]);
    await environment.run(1);
    fake.channel['message']!(Buffer.from([4]));
    expect(got).to.deep.equal([1, 2, 3, 4]);
    connection.lane.onMessage = undefined;
    for (let i = 0; i < 300; i++) fake.channel['message']!(Buffer.from([5]));
    expect(said).to.deep.equal(['lost too much came before it was read']);
  });

  it('asks native code for the buffered amount only after a send that was buffered', () => {
    expect(connection.lane.bufferedAmount).to.equal(0);
    expect(connection.lane.send(new Uint8Array(3))).to.equal(true); // `false` of native code means buffered, not refused
    expect(connection.lane.bufferedAmount).to.equal(7);
    fake.refuses = 'send';
    expect(connection.lane.send(new Uint8Array(3))).to.equal(false);
  });

  it('reports what its own callbacks throw, and throws nothing into native code', () => {
    connection.lane.onMessage = () => {
      throw new Error('a bug above');
    };
    fake.channel['message']!(Buffer.from([1]));
    expect(said).to.deep.equal(['Error: a bug above']);
  });
});
