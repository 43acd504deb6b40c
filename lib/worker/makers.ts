/** The factories whose products can live in the engine's thread. */
import { heartbeatTimeout } from '../failure/heartbeatTimeout.js';
import { phiAccrual } from '../failure/phiAccrual.js';
import { memoryNetwork } from '../mesh/memory/network.js';
import { anySignaling } from '../mesh/signaling/any.js';
import { lanSignaling } from '../mesh/signaling/lan.js';
import { localSignaling } from '../mesh/signaling/local.js';
import { webSocketSignaling } from '../mesh/signaling/webSocket.js';
import { webrtc } from '../mesh/webrtc/webrtc.js';
import { paxos, raft } from '../replica/consensus.js';
import type { PaxosOptions } from '../consensus/paxos/options.js';
import type { RaftOptions } from '../consensus/raft/options.js';
import { diskStorage } from '../storage/diskStorage.js';
import { memoryStorage } from '../storage/memoryStorage.js';

export const makers = {
  ...{ webrtc, memoryNetwork },
  ...{ webSocketSignaling, lanSignaling, localSignaling, anySignaling },
  ...{ phiAccrual, heartbeatTimeout },
  ...{ diskStorage, memoryStorage },
  raft: (options: RaftOptions) => raft(options).wired,
  paxos: (options: PaxosOptions) => paxos(options).wired,
};
