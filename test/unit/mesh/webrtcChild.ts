/** The other process of the webrtc tests, and its rendezvous over the channel between the two. */
import type { ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { nodeEnvironment } from '../../../lib/environment.js';
import { joinMesh } from '../../../lib/mesh/joinMesh.js';
import { meshPort } from '../../../lib/mesh/mesh.js';
import type { Signaling, SignalingHost, SignalingSession } from '../../../lib/mesh/signaling/signaling.js';
import { webrtc } from '../../../lib/mesh/webrtc/webrtc.js';

type Word =
  | { readonly is: 'hello'; readonly incarnation: string }
  | { readonly is: 'presence'; readonly peer: string; readonly present: boolean }
  | { readonly is: 'message'; readonly peer: string; readonly payload: string };

/** In the parent: sits at the rendezvous in place of the child. */
export function parentSignaling(child: ChildProcess, id: string, signaling: Signaling): void {
  let session: SignalingSession | undefined;
  const tell = (word: Word): void => {
    if (child.connected) child.send(word, () => undefined);
  };
  child.on('message', (word: Word) => {
    if (word.is === 'message') session?.send(word.peer, word.payload);
    else if (word.is === 'hello') {
      const host: SignalingHost = {
        id,
        cluster: 'c',
        incarnation: word.incarnation,
        environment: nodeEnvironment,
        onPresence: (peer, present) => tell({ is: 'presence', peer, present }),
        onMessage: (peer, payload) => tell({ is: 'message', peer, payload }),
        onWarning: () => undefined,
      };
      void signaling.start(host).then((started) => (session = started));
    }
  });
  child.on('exit', () => void session?.close());
}

function childSignaling(): Signaling {
  return {
    kind: 'parent',
    start(host) {
      process.on('message', (word: Word) => {
        if (word.is === 'presence') host.onPresence(word.peer, word.present);
        else if (word.is === 'message') host.onMessage(word.peer, word.payload);
      });
      process.send!({ is: 'hello', incarnation: host.incarnation } satisfies Word);
      return Promise.resolve({
        connected: true,
        send: (peer, payload) => void process.send?.({ is: 'message', peer, payload } satisfies Word),
        close: () => {
          process.disconnect(); // or the channel would keep the process alive
          return Promise.resolve();
        },
      });
    },
  };
}

async function main(id: string, mode: string, secret: string): Promise<void> {
  const mesh = await joinMesh({
    id,
    cluster: 'c',
    secret,
    transport: webrtc({ signaling: childSignaling() }),
  });
  const port = meshPort(mesh);
  port.handle(1, (peer, _, frame) => port.send(peer, 1, frame, { lane: 'control' }));
  if (mode === 'stay') return;
  if (mode === 'close') await mesh.waitFor(1);
  if (mode === 'closeWhileConnecting') await new Promise<void>((resolve) => void setTimeout(resolve, 3));
  await mesh.close();
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [, , id, mode, secret] = process.argv;
  await main(id!, mode!, secret!);
}
