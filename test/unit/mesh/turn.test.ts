/** Native code stands still for good when a DTLS server with a TURN server of its own is spoken to too early: see turn.ts. */
import { expect } from 'chai';
import { afterEach, describe, it } from 'mocha';
import { FakeNative, sdp } from './fakeNative.js';
import { VirtualEnvironment, until } from './support.js';
import { closeAll, link, open } from './webrtcSupport.js';
import type { Signaling } from '../../../lib/mesh/signaling/signaling.js';
import { Connection } from '../../../lib/mesh/webrtc/connection.js';
import { canRelay, parseIceServers } from '../../../lib/mesh/webrtc/iceServers.js';
import { decodeSetupMessage } from '../../../lib/mesh/webrtc/messages.js';
import { Ports } from '../../../lib/mesh/webrtc/ports.js';
import { answererRole, offererRole } from '../../../lib/mesh/webrtc/turn.js';
import type { OfferedSetup } from '../../../lib/mesh/webrtc/turn.js';

const turnUrl = 'turn:user:word@127.0.0.1:9';
const turn = parseIceServers([turnUrl]);
const stun = parseIceServers(['stun:127.0.0.1:7']);
const configurations = [[], stun, turn, [...stun, ...turn]].flatMap((servers) =>
  [false, true].filter((only) => !only || canRelay(servers)).map((only) => ({ servers, only })),
);

function connect(setup: OfferedSetup): {
  fake: FakeNative;
  said: string[];
  connection: Connection;
  environment: VirtualEnvironment;
} {
  const fake = new FakeNative();
  const environment = new VirtualEnvironment();
  const said: string[] = [];
  const connection = new Connection({
    native: fake.native,
    config: { relayOnly: false, bindAddress: () => undefined, ports: new Ports(), mtu: undefined },
    environment,
    lane: 'control',
    iceServers: turn,
    setup,
    onSignal: (_kind, text) => said.push(/a=setup:\w+/.exec(text ?? '')?.[0] ?? '-'),
    onOpen: () => said.push('open'),
    onLost: (reason) => said.push(reason),
    onError: (error) => said.push(String(error)),
  });
  fake.calls.length = 0;
  return { fake, said, connection, environment };
}

describe('who relays, and who speaks first', () => {
  afterEach(() => closeAll());

  it('one end is the DTLS client; the other has no TURN server of its own, unless all paths are to be relayed', () => {
    for (const offerer of configurations) {
      for (const answerer of configurations) {
        const used = new Set<string>();
        for (const other of [false, true]) {
          const offers = offererRole(offerer.servers, offerer.only, other);
          const answers = answererRole(answerer.servers, answerer.only, offers.setup, offers.bothRelay);
          expect([offers.setup, answers.setup]).to.be.deep.oneOf([
            ['active', 'passive'],
            ['passive', 'active'],
            ['actpass', 'passive'],
            ['actpass', 'active'],
          ]);
          const server = answers.setup === 'active' ? offers : answers;
          if (!offerer.only && !answerer.only) expect(canRelay(server.iceServers)).to.equal(false);
          if (canRelay(offers.iceServers)) used.add('offerer');
          if (canRelay(answers.iceServers)) used.add('answerer');
          if (offerer.only) expect(answers.iceServers).to.equal(answerer.servers);
        }
        expect(used.has('offerer')).to.equal(canRelay(offerer.servers));
        expect(used.has('answerer')).to.equal(canRelay(answerer.servers));
      }
    }
  });

  it('asks a TURN server for the public address where there is no STUN server', () => {
    expect(offererRole(turn, false, true).iceServers).to.deep.equal([{ hostname: '127.0.0.1', port: 9 }]);
    expect(offererRole([...turn, ...stun], false, true).iceServers).to.deep.equal(stun);
  });

  it('the client lets in what comes from a relayed address, and does not speak to it', () => {
    const relayed = 'a=candidate:1 1 UDP 1 192.0.2.1 40000 typ relay raddr 0.0.0.0 rport 0';
    const host = 'a=candidate:2 1 UDP 1 192.0.2.2 40000 typ host';
    for (const [setup, port] of [
      ['active', '9'],
      ['passive', '40000'],
    ] as const) {
      const { fake, connection } = connect(setup);
      connection.takeOffer(sdp('actpass'));
      connection.takeCandidates([relayed, host]);
      expect(fake.calls).to.deep.equal([
        `setRemoteDescription offer a=setup:${setup === 'active' ? 'passive' : 'active'}`,
        'setLocalDescription answer',
        `addRemoteCandidate ${port}`,
        'addRemoteCandidate 40000',
      ]);
    }
  });

  it('an offer says the role, and an answer that takes the same is refused', async () => {
    for (const setup of ['active', 'passive'] as const) {
      const { fake, said, connection, environment } = connect(setup);
      connection.offer();
      fake.signalingState = 'have-local-offer';
      fake.connection['description']!(sdp('actpass'), 'offer');
      await environment.run(1);
      expect(said).to.deep.equal([`a=setup:${setup}`]);
      expect(connection.takeAnswer(sdp(setup))).to.equal(false);
      expect(connection.takeAnswer(sdp(setup === 'active' ? 'passive' : 'active'))).to.equal(true);
    }
  });

  it('real ends take their roles, in turns until a try succeeds', async () => {
    const roles: string[] = [];
    let silent = true;
    const signaling = spied((payload) => {
      const message = decodeSetupMessage(payload);
      if (message?.kind === 'answer') roles.push(`${message.lane} ${/a=setup:\w+/.exec(message.sdp)![0]}`);
      if (message?.kind === 'offer') roles.push(`${message.lane} ${/a=setup:\w+/.exec(message.sdp)![0]}`);
      return !(silent && message?.kind === 'answer');
    });
    const options = { iceServers: [turnUrl], setupTimeoutMs: 1000 };
    const a = await open('a', signaling, options);
    const b = await open('b', signaling, options);
    a.session.connect('b');
    const seen = (text: string): number => roles.filter((role) => role === text).length;
    await until('tries', () => seen('control a=setup:active') > 1 && seen('control a=setup:passive') > 1);
    // a offers to be the client, then the server; b answers with the other role
    expect(roles.filter((role) => role.startsWith('control')).slice(0, 4)).to.deep.equal([
      'control a=setup:active',
      'control a=setup:passive',
      'control a=setup:passive',
      'control a=setup:active',
    ]);
    silent = false;
    await link(a, b);
  });
});

/** A rendezvous in this process that shows every message, and drops those for which `pass` says no. */
function spied(pass: (payload: string) => boolean): Signaling {
  const ends = new Map<string, (from: string, payload: string) => void>();
  return {
    kind: 'spied',
    start: (end) => {
      const { id } = end;
      ends.set(id, (from, payload) => end.onMessage(from, payload));
      return Promise.resolve({
        connected: true,
        send: (peer, payload) => {
          if (pass(payload)) setImmediate(() => ends.get(peer)?.(id, payload));
        },
        close: () => Promise.resolve(void ends.delete(id)),
      });
    },
  };
}
