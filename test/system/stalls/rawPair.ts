/** What one bare data channel between two connections of one process takes to open: the yardstick for a mesh. */
import { PeerConnection, type DataChannel } from 'node-datachannel';
import { now } from './messages.js';

const giveUpMs = 10_000;

/** Milliseconds until both ends are open; undefined if that failed, as a few in a hundred do. */
export async function setUpPair(): Promise<number | undefined> {
  const start = now();
  const config = { iceServers: [], bindAddress: '127.0.0.1' };
  const [a, b] = [new PeerConnection('a', config), new PeerConnection('b', config)];
  /** Held, so that none is collected while it opens. */
  const channels: DataChannel[] = [];
  let timer: NodeJS.Timeout | undefined;
  try {
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      from.onStateChange(() => undefined); // without it the process would hang after close
      // An answerer that takes the active role spares the lost first DTLS message.
      from.onLocalDescription((text, type) =>
        guarded(() => to.setRemoteDescription(text.replace('a=setup:actpass', 'a=setup:active'), type)),
      );
      from.onLocalCandidate((text, mid) => guarded(() => to.addRemoteCandidate(text, mid)));
    }
    const opened = new Promise<true>((resolve) => {
      let open = 0;
      const one = (): void => {
        if (++open === 2) resolve(true);
      };
      b.onDataChannel((channel) => {
        channels.push(channel);
        channel.onClosed(() => undefined);
        if (channel.isOpen()) one();
        else channel.onOpen(one);
      });
      const channel = a.createDataChannel('probe');
      channels.push(channel);
      channel.onClosed(() => undefined);
      channel.onOpen(one);
    });
    const late = new Promise<false>((resolve) => {
      timer = setTimeout(() => resolve(false), giveUpMs);
    });
    return (await Promise.race([opened, late])) ? now() - start : undefined;
  } finally {
    clearTimeout(timer);
    for (const channel of channels) channel.close();
    a.close();
    b.close();
  }
}

/** A throw inside a native callback would end the process. */
function guarded(action: () => void): void {
  try {
    action();
  } catch {
    // The pair does not open, which is what is measured.
  }
}
