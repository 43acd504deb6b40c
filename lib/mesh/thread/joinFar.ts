/** Joins a mesh in the engine's thread. @internal */
import { describe } from '../../description.js';
import type { MeshPlan } from '../assemble.js';
import type { MeshParts } from '../mesh.js';
import { joinInThread } from './engineThread.js';
import { FarMesh } from './farMesh.js';
import type { JoinPlan } from './items.js';

/** `secret` and `identity` are the options without functions in them. */
export async function joinFar(plan: MeshPlan, secret: unknown, identity: unknown): Promise<MeshParts> {
  const { id, cluster, transport, detector, intervalMs, relay, limits, environment, credentials } = plan;
  const far: JoinPlan = {
    ...{ id, cluster, secret, identity, intervalMs, relay, limits },
    transport: describe('transport', transport),
    detector: describe('failureDetector', detector),
  };
  const joined = await joinInThread(far, transport, environment);
  return new FarMesh({ plan: far, credentials, environment, ...joined }).parts;
}
