/** The planted bugs. */
import { consensusMutants } from './list/consensus.js';
import { electionMutants } from './list/election.js';
import { meshMutants } from './list/mesh.js';
import { relayMutants } from './list/meshRelay.js';
import { readMutants } from './list/reads.js';
import { quietMutants } from './list/quiet.js';
import { memberMutants } from './list/members.js';
import { paxosMutants } from './list/paxos.js';
import { pitfallMutants } from './list/pitfalls.js';
import { operationsMutants } from './list/operations.js';
import { replicaMutants } from './list/replica.js';
import { sagaMutants } from './list/sagas.js';
import { storageMutants } from './list/storage.js';
import { transactionMutants } from './list/transactions.js';
import { placementMutants } from './list/placement.js';
import { storeMutants } from './list/store.js';
import { witnessMutants } from './list/witness.js';
import type { Mutant } from './mutant.js';

export const mutants: readonly Mutant[] = [
  ...consensusMutants,
  ...readMutants,
  ...quietMutants,
  ...electionMutants,
  ...memberMutants,
  ...pitfallMutants,
  ...paxosMutants,
  ...replicaMutants,
  ...operationsMutants,
  ...witnessMutants,
  ...storageMutants,
  ...transactionMutants,
  ...storeMutants,
  ...placementMutants,
  ...meshMutants,
  ...relayMutants,
  ...sagaMutants,
];
