/** Bugs in what members carry for each other: datagrams, and links over them. */
import type { Mutant } from '../mutant.js';

export const relayMutants: readonly Mutant[] = [
  {
    name: 'a relayed link takes the place of a direct one that came up meanwhile',
    file: 'mesh/rivals.ts',
    find: ' && began < link.since',
    replace: ' && began < -1',
    pitfall: 'each end of two links that cross keeps another one',
    within: 0,
    tests: 'mesh/crossing.test.ts',
  },
  {
    name: 'a router passes on what it has seen',
    file: 'mesh/relay/router.ts',
    find: 'if (from === id || !this.#seen.add(`${from} ${number}`)) {',
    replace: 'if (from === id) {',
    pitfall: 'datagrams run in circles while views differ',
    within: 0,
    tests: 'mesh/routing',
  },
  {
    name: 'hops are not counted',
    file: 'mesh/relay/router.ts',
    find: 'hops: hops - 1',
    replace: 'hops',
    pitfall: 'nothing ends a loop',
    within: 10,
    kinds: 'mesh',
  },
  {
    name: 'a packet number is used twice',
    file: 'mesh/relay/seal.ts',
    find: 'const number = this.#next++;',
    replace: 'const number = this.#next++ & ~1;',
    pitfall: 'nonce reuse in AES-GCM',
    within: 0,
    tests: 'mesh/relay',
  },
  {
    name: 'an acknowledgement is off by one',
    file: 'mesh/relay/lane.ts',
    find: 'if (chunk.seq < nextChunk)',
    replace: 'if (chunk.seq <= nextChunk)',
    pitfall: 'a lost packet counts as delivered',
    within: 0,
    tests: 'mesh/relay',
  },
  {
    name: 'a packet that came twice is taken twice',
    file: 'mesh/relay/lane.ts',
    find: 'if (this.#received.seen(number)) {',
    replace: 'if (number < 0) {',
    pitfall: 'replays are believed',
    within: 0,
    tests: 'mesh/relay',
  },
];
