/** How the rooms of the suite for consensuses declare their tests. */
import type { ConsensusFeatures } from '../consensus.js';
import type { Bench } from './bench.js';

/** @internal */
export type Body = (bench: Bench) => Promise<void>;

/** @internal */
export interface Suite {
  readonly test: (name: string, body: Body) => void;
  /** A test of something that not every consensus has. */
  readonly where: (feature: keyof ConsensusFeatures, name: string, body: Body) => void;
  readonly features: ConsensusFeatures;
  /** So many seeds are explored. */
  readonly seeds: number;
}
