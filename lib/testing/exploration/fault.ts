/** What can be done to a cluster. */
import type { DiskSettings } from '../simulation/disk/settings.js';
import type { NetworkShape } from '../simulation/network/settings.js';
import type { MessageSettings } from '../simulation/settings.js';
import type { MemberFault } from './memberFaults.js';
import type { MeshFault } from './meshFaults.js';

/** Stands for whoever leads at the moment of the fault. */
export const LEADER = '@leader';

/** One fault; `ms` is how long it lasts. A node may be `@leader`: whoever leads at the moment. */
export type Fault =
  | {
      readonly kind: 'crash';
      readonly node: string;
      readonly power: boolean;
      /** Wait for a moment at which the disk is at work. */
      readonly amid: boolean;
      readonly ms: number;
    }
  | { readonly kind: 'blackout'; readonly nodes: readonly string[]; readonly ms: number }
  | { readonly kind: 'pause'; readonly node: string; readonly ms: number }
  | { readonly kind: 'suspend'; readonly node: string; readonly ms: number }
  | { readonly kind: 'cut'; readonly a: string; readonly b: string; readonly ms: number }
  | {
      readonly kind: 'flap';
      readonly a: string;
      readonly b: string;
      readonly periodMs: number;
      readonly ms: number;
    }
  | { readonly kind: 'one-way cut'; readonly from: string; readonly to: string; readonly ms: number }
  | { readonly kind: 'partition'; readonly groups: readonly (readonly string[])[]; readonly ms: number }
  | {
      readonly kind: 'one-way partition';
      readonly from: readonly string[];
      readonly to: readonly string[];
      readonly ms: number;
    }
  | { readonly kind: 'clog'; readonly from: string; readonly to: string; readonly ms: number }
  | { readonly kind: 'reset'; readonly a: string; readonly b: string; readonly side?: string }
  | {
      readonly kind: 'bad way';
      readonly from: string;
      readonly to: string;
      readonly shape: NetworkShape;
      readonly ms: number;
    }
  | { readonly kind: 'rendezvous out'; readonly node: string; readonly ms: number }
  | { readonly kind: 'bad messages'; readonly messages: MessageSettings; readonly ms: number }
  | { readonly kind: 'clock shift'; readonly node: string; readonly byMs: number }
  | { readonly kind: 'disk errors'; readonly node: string; readonly disk: DiskSettings; readonly ms: number }
  | { readonly kind: 'disk stall'; readonly node: string; readonly ms: number }
  | { readonly kind: 'disk full'; readonly node: string; readonly spareBytes: number; readonly ms: number }
  | { readonly kind: 'bit rot'; readonly node: string; readonly bits: number; readonly ms: number }
  | { readonly kind: 'disk lost'; readonly node: string; readonly ms: number }
  /** No fault, but as good as one: the leadership should go to the node; to anyone, when that leads. */
  | { readonly kind: 'transfer'; readonly node: string }
  | MeshFault
  | MemberFault;

/** What kind of fault it is. */
export type FaultKind = Fault['kind'];

/** A fault and its moment, in virtual milliseconds. */
export interface PlannedFault {
  readonly at: number;
  readonly fault: Fault;
}
