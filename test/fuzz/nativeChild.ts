/**
 * Feeds what the cleaning lets through to native code: descriptions to a connection each, candidates by the hundred to one. A
 * process of its own, for what is wrong would abort it. `node build/test/fuzz/nativeChild.js [count] [seed]`; prints how many.
 */
import { loadNative } from '../../lib/mesh/webrtc/native.js';
import { cleanCandidate, parseDescription, writeDescription } from '../../lib/mesh/webrtc/sdp.js';
import { mutate } from './mutate.js';
import { Random } from './random.js';
import { candidates, checkCandidate, checkDescription, descriptions } from './surfaces/webrtc.js';

const count = Number(process.argv[2] ?? 2000);
const random = new Random(Number(process.argv[3] ?? 1));
const native = await loadNative();
const bytes = (texts: readonly string[]): Uint8Array[] =>
  texts.map((text) => Uint8Array.from(Buffer.from(text)));
const sdpCorpus = bytes(descriptions);
const candidateCorpus = bytes(candidates);
/** Candidates that one connection gets. */
const CROWD = 200;

let made = 0;
let given = 0;
let taken = 0;

function connection(): InstanceType<typeof native.PeerConnection> {
  made++;
  // Bound to the loopback address: nothing of what is made up here is ever sent anywhere else.
  return new native.PeerConnection(`fuzz-${made}`, { iceServers: [], bindAddress: '127.0.0.1' });
}

/** Native code throws for what it does not like; what it may not do is abort. */
function tryTo(call: () => void): void {
  given++;
  try {
    call();
    taken++;
  } catch {
    // refused
  }
}

function next(corpus: readonly Uint8Array[]): string {
  // Mutations of mutations seldom pass: one in three goes as it is, through the cleaning all the same.
  const input = random.chance(0.33) ? random.pick(corpus) : mutate(random, corpus, []);
  return Buffer.from(input).toString('utf8');
}

let description = writeDescription(parseDescription(descriptions[0]!)!);
while (given < count) {
  const one = connection();
  one.onLocalDescription(() => undefined);
  tryTo(() => one.setRemoteDescription(description, 'offer'));
  for (let i = 0; i < CROWD; i++) {
    const candidate = cleanCandidate(next(candidateCorpus));
    if (candidate === undefined) continue;
    checkCandidate(candidate);
    tryTo(() => one.addRemoteCandidate(candidate, '0'));
  }
  for (let found; found === undefined;) {
    found = parseDescription(next(sdpCorpus));
    if (found !== undefined) description = writeDescription({ ...found, setup: 'actpass' });
  }
  checkDescription(description);
  one.close();
  await new Promise<void>((resolve) => void setTimeout(resolve, 1));
}
// Native threads may outlive their connections for a while: nobody waits for them.
process.stdout.write(`${given} given, ${taken} taken, ${made} connections\n`, () => process.exit(0));
