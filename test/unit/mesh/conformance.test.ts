import { describe, it } from 'mocha';
import { memoryNetwork } from '../../../lib/mesh/memory/network.js';
import { localSignaling } from '../../../lib/mesh/signaling/local.js';
import { webrtc } from '../../../lib/mesh/webrtc/webrtc.js';
import { testTransport } from '../../../lib/testing/transport.js';

testTransport({ name: 'memory', create: () => memoryNetwork() }, { describe, it });
testTransport(
  { name: 'memory with latency', create: () => memoryNetwork({ latencyMs: 3 }) },
  { describe, it },
);
testTransport({ name: 'webrtc', create: () => webrtc({ signaling: localSignaling() }) }, { describe, it });
testTransport(
  {
    name: 'webrtc on loopback',
    create: () => webrtc({ signaling: localSignaling(), bindAddress: '127.0.0.1' }),
  },
  { describe, it },
);
