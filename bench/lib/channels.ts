/** Bare data channels between child processes: node-datachannel and nothing else. The parent relays the set-up. */
import { PeerConnection } from 'node-datachannel';
import type { DataChannel } from 'node-datachannel';
import { notify, serve } from './processes.js';
import type { Worker } from './processes.js';

interface Place {
  readonly peer: string;
  readonly attempt: number;
}
interface Signal extends Place {
  readonly sdp?: { readonly text: string; readonly type: string };
  readonly candidate?: { readonly text: string; readonly mid: string };
}

const setUpTimeoutMs = 5000;
const maxAttempts = 5;

/** The child's side: open channels by the peer's name. */
export const channels = new Map<string, DataChannel>();
const connections = new Map<string, { readonly attempt: number; readonly connection: PeerConnection }>();

/** Serves the set-up of channels beside the methods of a probe. */
export function serveWithChannels(methods: Readonly<Record<string, (args: never) => unknown>>): void {
  serve({ ...methods, open, signal, closeChannels });
}

function open({ peer, attempt, offerer }: Place & { readonly offerer: boolean }): void {
  discard(peer);
  const connection = new PeerConnection(peer, { iceServers: [], bindAddress: '127.0.0.1' });
  connections.set(peer, { attempt, connection });
  const say = (rest: object): void => notify('signal', { peer, attempt, ...rest });
  connection.onStateChange(() => undefined); // without it the process would hang after close
  connection.onLocalDescription((text, type) => say({ sdp: { text, type } }));
  connection.onLocalCandidate((text, mid) => say({ candidate: { text, mid } }));
  const ready = (channel: DataChannel): void => {
    channel.onClosed(() => undefined);
    const opened = (): void => {
      channels.set(peer, channel);
      notify('opened', { peer, attempt } satisfies Place);
    };
    if (channel.isOpen()) opened();
    else channel.onOpen(opened);
  };
  if (offerer) ready(connection.createDataChannel('bench'));
  else connection.onDataChannel(ready);
}

function signal({ peer, attempt, sdp, candidate }: Signal): void {
  const known = connections.get(peer);
  if (known?.attempt !== attempt) return;
  // An answerer that takes the active role spares the lost first DTLS message.
  if (sdp)
    known.connection.setRemoteDescription(
      sdp.text.replace('a=setup:actpass', 'a=setup:active'),
      sdp.type as 'offer',
    );
  if (candidate) known.connection.addRemoteCandidate(candidate.text, candidate.mid);
}

function closeChannels(): void {
  for (const peer of [...connections.keys()]) discard(peer);
}

function discard(peer: string): void {
  channels.get(peer)?.close();
  connections.get(peer)?.connection.close();
  channels.delete(peer);
  connections.delete(peer);
}

/** The parent's side: opens a channel between two children. Sets up anew what fails, as a few in a hundred do. */
export async function connect(a: Worker, nameOfA: string, b: Worker, nameOfB: string): Promise<void> {
  const ends = [
    { worker: a, peer: nameOfB, other: b, own: nameOfA },
    { worker: b, peer: nameOfA, other: a, own: nameOfB },
  ];
  for (let attempt = 1; attempt <= maxAttempts; attempt++) {
    let timer: NodeJS.Timeout | undefined;
    const opened = ends.map(
      ({ worker, peer }) =>
        new Promise<true>((resolve) => {
          worker.on('opened', (value) => {
            const place = value as Place;
            if (place.peer === peer && place.attempt === attempt) resolve(true);
          });
        }),
    );
    for (const { worker, other, own } of ends) {
      worker.on(
        'signal',
        (value) => void other.call('signal', { ...(value as Signal), peer: own }).catch(() => undefined),
      );
    }
    await b.call('open', { peer: nameOfA, attempt, offerer: false });
    await a.call('open', { peer: nameOfB, attempt, offerer: true });
    const late = new Promise<false>((resolve) => {
      timer = setTimeout(() => resolve(false), setUpTimeoutMs);
    });
    const done = await Promise.race([Promise.all(opened), late]);
    clearTimeout(timer);
    if (done !== false) return;
  }
  throw new Error(`no data channel between ${nameOfA} and ${nameOfB} after ${maxAttempts} tries`);
}
