/**
 * Replicated state machines for Node processes over peer-to-peer WebRTC data channels.
 *
 * @packageDocumentation
 */
export { QuorateError, type ErrorCode, type Fate, type QuorateErrorOptions } from './errors.js';
export { Emitter } from './events.js';
export type { Environment, Timer } from './environment.js';
export type { DirectoryLock, Done, FileHandle, FileSystem } from './files.js';
export type {
  Entry,
  EntryKind,
  Epoch,
  HardState,
  Index,
  NodeId,
  Recovered,
  SnapshotMeta,
} from './consensus/consensus.js';
export type { Member, Membership, NextMembership, Quorums } from './consensus/membership.js';
export { joinMesh, type JoinMeshOptions } from './mesh/joinMesh.js';
export { Mesh, type MeshEvents, type PeerStatus } from './mesh/mesh.js';
export { generateIdentity, publicKeyOf, type NodeIdentity, type NodeKey } from './mesh/identity.js';
export type { IdentityOptions, MeshIdentity, RotateSecretOptions, TrustedPeer } from './mesh/credentials.js';
export type { FailureDetector, FailureMonitor, MonitorOptions, Verdict } from './failure/failureDetector.js';
export { heartbeatTimeout, type HeartbeatTimeoutOptions } from './failure/heartbeatTimeout.js';
export { phiAccrual, type PhiAccrualOptions } from './failure/phiAccrual.js';
export { phi } from './failure/phi.js';
export {
  formatLinks,
  type PartitionLink,
  type PartitionMetrics,
  type PartitionState,
  type PartitionView,
} from './failure/partition.js';
export type { DirectionState } from './failure/rowsGraph.js';
export {
  circuitBreaker,
  CircuitBreaker,
  type CircuitBreakerEvents,
  type CircuitBreakerMetrics,
  type CircuitPermit,
  type CircuitState,
} from './failure/circuitBreaker.js';
export type { CircuitBreakerOptions } from './failure/circuitBreakerOptions.js';
export type { GroupMetrics, MeshMetrics } from './mesh/metrics.js';
export type { RelayMetrics } from './mesh/relay/metrics.js';
export type { RowGossipMetrics } from './failure/rowsGossip.js';
export { openReplica } from './replica/openReplica.js';
export type { ReplicaOptions, SnapshotOptions } from './replica/options.js';
export { Replica } from './replica/replica.js';
export type {
  CallOptions,
  ChangeMembersOptions,
  CloseOptions,
  CloseReason,
  Consistency,
  Compaction,
  MemberProgress,
  MemberStatus,
  MembersChange,
  QueryOptions,
  ReplicaEvents,
  ReplicaMetrics,
  ReplicaStatus,
  SubmitOptions,
} from './replica/replicaTypes.js';
export type { AutopilotOptions } from './replica/autopilotOptions.js';
export type { AutopilotStep } from './consensus/autopilot.js';
export type { BackupInfo } from './replica/backup/backupFormat.js';
export type { OfflineOptions } from './replica/backup/offline.js';
export { recoverGroup, type RecoverOptions, type RecoveryReport } from './replica/backup/recoverGroup.js';
export {
  restoreGroup,
  verifyBackup,
  type BackupSource,
  type RestoreOptions,
  type RestoreReport,
} from './replica/backup/restoreGroup.js';
export { openClient } from './replica/client/openClient.js';
export { GroupClient } from './replica/client/groupClient.js';
export type { ClientOptions, ClientStatus } from './replica/client/clientTypes.js';
export type { Outbox, OutboxEntry, OutboxOptions, OutboxOutcome } from './replica/outbox/outboxTypes.js';
export type { AppliedChange, Change, ResetChange } from './replica/changes.js';
export type * from './replica/stateMachine.js';
export { cbor, type CborOptions, type Codec } from './replica/codec.js';
export { paxos, raft, type ConsensusOption } from './replica/consensus.js';
export type { CoreOptions, LeaseOptions, QuorumOptions } from './consensus/core/options.js';
export type { PaxosOptions } from './consensus/paxos/options.js';
export type { RaftOptions } from './consensus/raft/options.js';
export { memoryNetwork, type MemoryNetwork, type MemoryNetworkOptions } from './mesh/memory/network.js';
export { webrtc, type WebrtcOptions } from './mesh/webrtc/webrtc.js';
export { webSocketSignaling, type WebSocketSignalingOptions } from './mesh/signaling/webSocket.js';
export { lanSignaling, type LanSignalingOptions } from './mesh/signaling/lan.js';
export { anySignaling } from './mesh/signaling/any.js';
export { localSignaling } from './mesh/signaling/local.js';
export {
  serveSignaling,
  SignalingServer,
  type SignalingServerEvents,
  type SignalingServerMetrics,
} from './mesh/signaling/server.js';
export type { Authorize, ServeSignalingOptions } from './mesh/signaling/serverOptions.js';
export type { Signaling, SignalingHost, SignalingSession } from './mesh/signaling/signaling.js';
export type {
  Lane,
  LaneName,
  RawLink,
  Transport,
  TransportHost,
  TransportSession,
} from './mesh/transport.js';
export type { ClusterSecret } from './mesh/secret.js';
export type { LinkLimits } from './mesh/limits.js';
export type { PeerState } from './mesh/peer.js';
export { diskStorage, type DiskStorageOptions } from './storage/diskStorage.js';
export { memoryStorage } from './storage/memoryStorage.js';
export type {
  GroupWrite,
  NodeStore,
  RecordFile,
  SnapshotReader,
  SnapshotWriter,
  Storage,
} from './storage/storage.js';
export {
  compareTimestamps,
  HybridLogicalClock,
  type HybridClockOptions,
  type HybridTimestamp,
} from './store/causality/hybridClock.js';
export { VectorClock, type ClockOrder, type Dot } from './store/causality/vectorClock.js';
export { openStore } from './store/coordination/openStore.js';
export { Store, type StoreEvents, type StoreStatus } from './store/coordination/store.js';
export type {
  Level,
  StoreOptions,
  StoreReadOptions,
  StoreWriteOptions,
  WriteReport,
} from './store/coordination/storeOptions.js';
export type { QuorumShortfall } from './store/coordination/quorum.js';
export type { RepairReport } from './store/coordination/repair.js';
export type { PlacementEvents, PlacementStatus, StoreMemberOptions } from './store/placement/ringSide.js';
export type { RebalanceStatus } from './store/placement/rebalancer.js';
export type { StoreContext } from './store/causality/context.js';
export type { StoreLimits } from './store/local/limits.js';
export type { Update } from './store/local/localStore.js';
export type {
  ConflictVersion,
  ListOptions,
  LocalStatus,
  LocalStoreEvents,
  StoreChange,
  StoreConflict,
  StoreEntry,
  WatchOptions,
  WriteOptions,
} from './store/local/localTypes.js';
export { crdt, custom, lww, siblings, type Resolution } from './store/resolve/resolution.js';
export type { CrdtContext, CrdtType } from './store/crdt/crdt.js';
export type { DotMap } from './store/crdt/dotMap.js';
export type { Dotted } from './store/causality/versionSet.js';
export {
  pnCounter,
  type CounterOperation,
  type CounterShare,
  type CounterState,
} from './store/crdt/counter.js';
export { flag, type FlagOperation, type FlagState } from './store/crdt/flag.js';
export { orSet, type SetElement, type SetOperation, type SetState } from './store/crdt/orSet.js';
export {
  lwwMap,
  lwwRegister,
  type MapOperation,
  type RegisterOperation,
  type RegistersState,
  type WrittenValue,
} from './store/crdt/registers.js';
export * from './machines/defineMachine.js';
export * from './machines/keyValue.js';
export * from './machines/lock.js';
export * from './machines/counter.js';
export * from './machines/keyring.js';
export * from './machines/keyringFile.js';
export * from './machines/keyringFollower.js';
export { openSagas } from './transactions/sagas/openSagas.js';
export { Sagas } from './transactions/sagas/sagas.js';
export { sagas, type SagasMachine } from './transactions/sagas/sagasMachine.js';
export {
  defineSaga,
  SagaDefinition,
  type AnySaga,
  type ResultsOfSteps,
  type SagaInput,
  type SagaOptions,
  type SagaResults,
  type SagaRetry,
  type SagaStep,
  type SagaStepContext,
  type SagaSteps,
  type SagaUndoContext,
} from './transactions/sagas/definition.js';
export type { SagaState, SagaStepState } from './transactions/sagas/record.js';
export type * from './transactions/sagas/sagasTypes.js';
export type { LockRange, Rehearsal, RehearsalStep } from './replica/rehearsal.js';
export { transact } from './transactions/transact.js';
export {
  transactional,
  type TransactionalMachine,
  type TransactionalOptions,
} from './transactions/transactional.js';
export {
  Transactions,
  transactionsOf,
  type InDoubt,
  type TransactionsEvents,
  type TransactionsMetrics,
  type Unfinished,
} from './transactions/transactions.js';
export type { TransactionResource } from './transactions/resource.js';
export type {
  MachineOf,
  TransactionContext,
  TransactionHandle,
  TransactionHandles,
  TransactionParties,
  TransactionParty,
  TransactionProgress,
  TransactOptions,
} from './transactions/types.js';
export { CommitSite, type SiteOptions } from './transactions/threePhase/protocol.js';
export { openSites, type SitesOptions } from './transactions/threePhase/openSites.js';
export {
  Site,
  TransactionSites,
  type SiteInDoubt,
  type SiteUnfinished,
  type TransactionSitesEvents,
  type TransactionSitesMetrics,
} from './transactions/threePhase/transactionSites.js';
export type {
  SiteHandle,
  SiteHandles,
  SiteParties,
  ThreePhaseContext,
  ThreePhaseOptions,
} from './transactions/threePhase/transactSites.js';
export type {
  SiteEffects,
  SiteMessage,
  SiteRecord,
  SiteState,
  ThreePhaseForm,
} from './transactions/threePhase/siteTypes.js';
