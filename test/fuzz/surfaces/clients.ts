/** What clients say to members, and members to clients: the frames, and a desk with a service and a client behind it. */
import { ByteWriter } from '../../../lib/bytes.js';
import type { Environment } from '../../../lib/environment.js';
import { QuorateError } from '../../../lib/errors.js';
import type { MeshListener, MeshPort } from '../../../lib/mesh/port.js';
import { ClientDesk, standing } from '../../../lib/replica/client/desk.js';
import { GroupClient } from '../../../lib/replica/client/groupClient.js';
import { checkClientOptions } from '../../../lib/replica/client/clientTypes.js';
import { frameOf, readMessages, writeMessage, type Message } from '../../../lib/replica/client/wire.js';
import type { Mesh } from '../../../lib/mesh/mesh.js';
import { clientMessages } from '../clientMessages.js';
import { must, sameBytes, stateless, TAKEN, type Surface } from '../surface.js';

function together(messages: readonly Message[]): Uint8Array {
  const writer = new ByteWriter();
  for (const message of messages) writeMessage(writer, message);
  return writer.take();
}

const frames = [...clientMessages().map((message) => frameOf(message)), together(clientMessages())];

/** Frames alone: what is read is what would be written. */
export function clientFrames(): Surface {
  return stateless('clientFrames', 'frames between clients and members', frames, (input) => {
    const messages: Message[] = [];
    readMessages(input, (message) => messages.push(message) > 0);
    const again: Message[] = [];
    const bytes = together(messages);
    readMessages(bytes, (message) => again.push(message) > 0);
    must(sameBytes(together(again), bytes), 'messages that read otherwise when they are written anew');
    return TAKEN;
  });
}

/** The desk of a node that has a client, and a service that answers nothing; the peer says what it likes. */
export function clientDesk(): Surface {
  return {
    name: 'clientDesk',
    about: 'the desk of a node where a peer says what it likes to a client, and to a member',
    corpus: frames,
    life: 200,
    strict: false,
    begin: () => {
      let handler: Parameters<MeshPort['handle']>[1] = () => true;
      let listener: MeshListener = { onPeer: () => undefined };
      const deferred: (() => void)[] = [];
      const port = {
        id: 'a',
        linked: () => new Map([['b', 1]]),
        maxFrameBytes: () => 65_536,
        send: () => true,
        whenDrained: (_peer: string, _lane: string, callback: () => void) => void deferred.push(callback),
        handle: (_kind: number, taken: typeof handler) => void (handler = taken),
        listen: (one: MeshListener) => void (listener = one),
      } as unknown as MeshPort;
      const environment = {
        now: () => 0,
        random: () => 0.5,
        randomBytes: (length: number) => new Uint8Array(length),
        defer: (callback: () => void) => void deferred.push(callback),
        setTimer: () => ({ cancel: () => undefined }),
      } as unknown as Environment;
      const desk = new ClientDesk(port, environment);
      desk.serve('settings', {
        opened: (channel) => desk.tell(channel, () => standing(channel.number, 'serving')),
        receive: (channel, message) => {
          must(channel.alive && channel.group === 'settings', 'a channel that is shut, or of another group');
          must(message.op !== 'open' && message.op !== 'shut', "a message that is the desk's own");
          return true;
        },
        lost: () => undefined,
      });
      // The corpus speaks of channel 3.
      const options = checkClientOptions({ mesh: undefined as unknown as Mesh, group: 'settings' });
      const clients = [1, 2, 3].map(() => new GroupClient('a', desk, options));
      const client = clients[2]!;
      const ignore = (): undefined => undefined;
      for (let i = 0; i < 3; i++) client.submit({ op: 'x' }, { requestId: `r${i}` }).catch(ignore);
      client.query('q', { consistency: 'local' }).catch(ignore);
      const stream = client.changes({ from: 0 });
      const read = (): void => void stream.next().catch(ignore);
      return {
        take: (input) => {
          if (client.status().pending.streams > 0) read();
          const sound = handler('b', 1, input);
          for (const callback of deferred.splice(0)) callback();
          const { pending } = client.status();
          must(pending.commands >= 0 && pending.queries >= 0, 'more answers than questions');
          if (sound === true) return TAKEN;
          // A broken frame costs the link; there is another one at once.
          listener.onPeer('b', false, 1);
          listener.onPeer('b', true, 2);
          throw new QuorateError('ERR_PEER_PROTOCOL', 'a frame that breaks the protocol');
        },
        dispose: async () => {
          for (const each of clients) await each.close();
        },
      };
    },
  };
}
