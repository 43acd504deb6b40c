/**
 * What tests need: a whole cluster in virtual time with every fault there is, a checker of histories, and suites that a transport,
 * a storage or a consensus of your own has to pass.
 *
 * @packageDocumentation
 */
export type { TestFramework } from './framework.js';
export {
  testConsensus,
  type ConsensusFeatures,
  type ConsensusSettings,
  type ConsensusUnderTest,
} from './consensus.js';
export { testStorage, type StorageFixture, type StorageSubject } from './storage.js';
export { testTransport, type TransportUnderTest } from './transport.js';
export {
  checkLinearizable,
  analyzeLinearizability,
  type LinearizabilityAnalysis,
  type LinearizabilityFailure,
} from './linearizability/checkLinearizable.js';
export type {
  LinearizabilityOptions,
  Model,
  Operation,
  StepResult,
  Verdict,
} from './linearizability/model.js';
export { registerModel, type RegisterInput } from './linearizability/registerModel.js';
export { keyValueModel, type KeyValueInput } from './linearizability/keyValueModel.js';
export {
  checkSerializable,
  type Anomaly,
  type AnomalyType,
  type SerializabilityOptions,
  type SerializabilityReport,
  type TransactionRecord,
  type VersionRead,
  type VersionWrite,
} from './serializability/checkSerializable.js';
export { checkResolver, type CheckResolverOptions, type ResolverFinding } from './checkResolver.js';
export { createSimulation, Simulation } from './simulation/simulation.js';
export type { SimulationReport, Violation } from './simulation/violation.js';
export type { ClockSettings, MessageSettings, SimulationOptions } from './simulation/settings.js';
export type { HistoryOperation } from './simulation/history.js';
export type { NodeState } from './simulation/node.js';
export type { Trace, TraceEvent } from './simulation/trace.js';
export type { SimNetwork } from './simulation/network/network.js';
export type { LaneShape, NetworkSettings, NetworkShape } from './simulation/network/settings.js';
export type { NetworkCounts } from './simulation/network/world.js';
export type { SimDisk } from './simulation/disk/disk.js';
export type { FlippedBit } from './simulation/disk/flip.js';
export type { DiskLatency, DiskOperation, DiskSettings } from './simulation/disk/settings.js';
export { explore } from './exploration/explore.js';
export type {
  ExploreOptions,
  ExploreProgress,
  ExploreReport,
  ExploreStep,
  ReadonlyDeep,
} from './exploration/exploreOptions.js';
export type { ClientRandom } from './exploration/clientRandom.js';
export type { ExploreFinding } from './exploration/exploreFinding.js';
export type { Fault, FaultKind, PlannedFault } from './exploration/fault.js';
export type { RunPlan } from './exploration/plan.js';
export { faultKinds } from './exploration/planFaults.js';
export type { MemberFault } from './exploration/memberFaults.js';
export type { MeshFault, Pair } from './exploration/meshFaults.js';
