/** Every surface by its name. */
import { Random } from './random.js';
import type { Surface } from './surface.js';
import { clientDesk, clientFrames } from './surfaces/clients.js';
import { core } from './surfaces/core.js';
import { engine } from './surfaces/engine.js';
import { items, raft, transfer } from './surfaces/group.js';
import { admission, handshake } from './surfaces/handshake.js';
import { identity, keyringCommands, keyringFiles, keyringSnapshots } from './surfaces/keys.js';
import { lanPeers, lanWire } from './surfaces/lan.js';
import { lanes, linkFrames, pieces } from './surfaces/lanes.js';
import { outboxRecords, recordFile } from './surfaces/outbox.js';
import { paxos, paxosCore } from './surfaces/paxos.js';
import { pings } from './surfaces/pings.js';
import { datagrams, packetHeads, packets } from './surfaces/relay.js';
import { relayLinks, relayOpened } from './surfaces/relayLinks.js';
import { backups, batches, cborValues, registrations, snapshots } from './surfaces/replica.js';
import { crowd, gossip, rows } from './surfaces/rows.js';
import { sagaCommands, sagaSnapshots } from './surfaces/sagas.js';
import { siteFrames, siteRecords, sites } from './surfaces/sites.js';
import { signalSocket } from './surfaces/signalSocket.js';
import { setup, signalClient, signalServer } from './surfaces/signaling.js';
import { entryBlocks, files, states } from './surfaces/storage.js';
import { transactionCommands, transactionSnapshots } from './surfaces/transactions.js';
import {
  storeContext,
  storeFrames,
  storeRecords,
  storeRing,
  storeStates,
  storeVersions,
} from './surfaces/stores.js';
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
  relayOpened,
  relayLinks,
  rows,
  gossip,
  crowd,
  pings,
  lanWire,
  lanPeers,
  items,
  raft,
  core,
  paxos,
  paxosCore,
  transfer,
  engine,
  clientFrames,
  clientDesk,
  batches,
  registrations,
  cbor: cborValues,
  snapshots,
  backups,
  entries: entryBlocks,
  states,
  files,
  outboxRecords,
  recordFile,
  identity,
  keyring: keyringCommands,
  keyringSnapshots,
  keyringFile: keyringFiles,
  sagaCommands,
  sagaSnapshots,
  transactions: transactionCommands,
  transactionSnapshots,
  siteFrames,
  siteRecords,
  sites,
  storeVersions,
  storeContext,
  storeStates,
  storeRecords,
  storeRing,
  storeFrames,
};

export const surfaceNames: readonly string[] = Object.keys(makeSurfaces);
