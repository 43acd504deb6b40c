/** The planted bugs. */
import { consensusMutants } from './list/consensus.js';
import { meshMutants } from './list/mesh.js';
import { relayMutants } from './list/meshRelay.js';
import { operationsMutants } from './list/operations.js';
import { replicaMutants } from './list/replica.js';
import { storageMutants } from './list/storage.js';
import type { Mutant } from './mutant.js';

export const mutants: readonly Mutant[] = [
  ...consensusMutants,
  ...replicaMutants,
  ...operationsMutants,
  ...storageMutants,
  ...meshMutants,
  ...relayMutants,
];
