/** Every surface by its name. */
import { Random } from './random.js';
import type { Surface } from './surface.js';
import { core } from './surfaces/core.js';
import { engine } from './surfaces/engine.js';
import { items, raft, transfer } from './surfaces/group.js';
import { admission, handshake } from './surfaces/handshake.js';
import { lanes, linkFrames, pieces } from './surfaces/lanes.js';
import { datagrams, packetHeads, packets } from './surfaces/relay.js';
import { batches, cborValues, registrations, snapshots } from './surfaces/replica.js';
import { signalSocket } from './surfaces/signalSocket.js';
import { setup, signalClient, signalServer } from './surfaces/signaling.js';
import { entryBlocks, files, states } from './surfaces/storage.js';
import { candidate, sdp } from './surfaces/webrtc.js';

export const makeSurfaces: Readonly<Record<string, () => Surface | Promise<Surface>>> = {
  pieces,
  lanes,
  linkFrames,
  handshake: () => handshake(new Random(1)),
  admission: () => admission(new Random(2)),
  signalClient,
  signalServer,
  signalSocket,
  setup,
  sdp,
  candidate,
  datagrams,
  packetHeads,
  packets,
  items,
  raft,
  core,
  transfer,
  engine,
  batches,
  registrations,
  cbor: cborValues,
  snapshots,
  entries: entryBlocks,
  states,
  files,
};

export const surfaceNames: readonly string[] = Object.keys(makeSurfaces);
