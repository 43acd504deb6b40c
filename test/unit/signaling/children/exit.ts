/** Does all that signalling does, closes it, and must then exit by itself. */
import { serveSignaling } from '../../../../lib/mesh/signaling/server.js';
import { webSocketSignaling } from '../../../../lib/mesh/signaling/webSocket.js';
import { TestHost, until } from '../support.js';

const server = await serveSignaling({ authorize: () => true });
const [a, b, c, d] = [new TestHost('a'), new TestHost('b'), new TestHost('c'), new TestHost('d')];
const signaling = webSocketSignaling({ urls: ['ws://127.0.0.1:1', server.url] });
const [atA, atB] = [await signaling.start(a), await signaling.start(b)];
const unreachable = await webSocketSignaling('ws://127.0.0.1:1').start(c);
await until('presence', () => a.present.has('b'));
atA.send('b', 'hello');
await until('the message', () => b.messages.length === 1);
const connecting = await webSocketSignaling(server.url).start(d);
await connecting.close();
await unreachable.close();
await atB.close();
await server.close();
await until('a to lose its seat', () => !atA.connected);
await atA.close();
process.stdout.write('closed\n');
