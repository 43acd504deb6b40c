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
export { raft, type ConsensusOption } from './replica/consensus.js';
export type { LeaseOptions, QuorumOptions, RaftOptions } from './consensus/raft/options.js';
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
export * from './machines/defineMachine.js';
export * from './machines/keyValue.js';
export * from './machines/lock.js';
export * from './machines/counter.js';
export * from './machines/keyring.js';
export * from './machines/keyringFile.js';
export * from './machines/keyringFollower.js';
