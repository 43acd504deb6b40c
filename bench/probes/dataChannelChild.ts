/** One end of the data-channel probe. */
import { channels, serveWithChannels } from '../lib/channels.js';
import { Samples, spread } from '../lib/stats.js';

const highWater = 1024 * 1024;
const lowWater = 256 * 1024;
const perTurn = 64;

/** Sends back what comes. */
function echo({ peer }: { peer: string }): void {
  const channel = channels.get(peer)!;
  channel.onMessage((message) => void channel.sendMessageBinary(message as Buffer));
}

/** Microseconds there and back, one message at a time. */
async function roundTrips({ peer, bytes, seconds }: { peer: string; bytes: number; seconds: number }) {
  const channel = channels.get(peer)!;
  const message = new Uint8Array(bytes);
  const samples = new Samples();
  const warm = performance.now() + 200;
  const end = warm + seconds * 1000;
  await new Promise<void>((resolve) => {
    let start = performance.now();
    channel.onMessage(() => {
      const now = performance.now();
      if (start >= warm) samples.add((now - start) * 1000);
      if (now >= end) {
        resolve();
        return;
      }
      start = performance.now();
      channel.sendMessageBinary(message);
    });
    channel.sendMessageBinary(message);
  });
  return spread(samples);
}

let sunk: Promise<{ messages: number; ms: number }> | undefined;

/** Counts messages, from the first to one of a single byte. */
function sink({ peer }: { peer: string }): void {
  const channel = channels.get(peer)!;
  sunk = new Promise((resolve) => {
    let messages = 0;
    let start = 0;
    channel.onMessage((message) => {
      if (messages === 0) start = performance.now();
      if ((message as Buffer).length === 1) resolve({ messages, ms: performance.now() - start });
      else messages++;
    });
  });
}

/** Sends as fast as the buffer allows, then a message of one byte. */
async function flood({
  peer,
  bytes,
  seconds,
}: {
  peer: string;
  bytes: number;
  seconds: number;
}): Promise<void> {
  const channel = channels.get(peer)!;
  const message = new Uint8Array(bytes);
  const end = performance.now() + seconds * 1000;
  let drained: () => void = () => undefined;
  channel.setBufferedAmountLowThreshold(lowWater);
  channel.onBufferedAmountLow(() => drained());
  while (performance.now() < end) {
    for (let i = 0; i < perTurn && channel.bufferedAmount() <= highWater; i++)
      channel.sendMessageBinary(message);
    if (channel.bufferedAmount() <= highWater) await new Promise(setImmediate);
    else await new Promise<void>((resolve) => (drained = resolve));
  }
  channel.sendMessageBinary(new Uint8Array(1));
}

serveWithChannels({ echo, roundTrips, sink, flood, sunk: () => sunk });
