/** How the ways between simulated nodes are: delay, loss, bandwidth. */
import { checkNumber, configError } from '../../../errors.js';
import type { LaneName } from '../../../mesh/transport.js';

/**
 * How packets travel one way on one lane. Lost packets are sent again, so that loss shows as delay: of what was lost, and of
 * all that was sent after it on that lane.
 */
export interface LaneShape {
  /**
   * Least one-way delay, in milliseconds, 0 to 60 000.
   * @defaultValue 0.5
   */
  readonly latencyMs?: number;
  /**
   * Up to so many milliseconds more, evenly distributed, 0 to 60 000.
   * @defaultValue 0
   */
  readonly jitterMs?: number;
  /**
   * Mean of an exponentially distributed rest of the delay, in milliseconds, 0 to 60 000.
   * @defaultValue 0.1
   */
  readonly tailMs?: number;
  /**
   * Share of packets that get lost, 0 to 0.95.
   * @defaultValue 0
   */
  readonly lossRate?: number;
  /**
   * Bytes a second, 1 000 to 100 000 000 000.
   * @defaultValue 100000000
   */
  readonly bandwidth?: number;
}

/** How a way is, for both lanes; what `control` and `bulk` say comes first. */
export interface NetworkShape extends LaneShape {
  /** Of the lane for small, urgent messages alone. */
  readonly control?: LaneShape;
  /** Of the lane for large messages alone. */
  readonly bulk?: LaneShape;
}

/** Options of a simulated network. */
export interface NetworkSettings extends NetworkShape {
  /**
   * How long the rendezvous takes to hand on a message or a presence, in milliseconds, 0 to 60 000.
   * @defaultValue 2
   */
  readonly rendezvousMs?: number;
  /**
   * How long a try to connect may take, in milliseconds, 100 to 120 000.
   * @defaultValue 5000
   */
  readonly setupTimeoutMs?: number;
  /**
   * After about so many milliseconds of a silent path an end of a link gives it up by itself, 100 to 600 000. Each end draws
   * between three quarters and five quarters of it.
   * @defaultValue 6000
   */
  readonly silenceMs?: number;
  /**
   * Bytes that may be under way on a lane without having been acknowledged, 16 KiB to 1 GiB. What comes after waits.
   * @defaultValue 1048576
   */
  readonly sendWindowBytes?: number;
}

/** A {@link LaneShape} with nothing left out. @internal */
export type ResolvedLane = Required<LaneShape>;
/** Both lanes of one way. @internal */
export type ResolvedShape = Readonly<Record<LaneName, ResolvedLane>>;

/** {@link NetworkSettings} with nothing left out. @internal */
export interface ResolvedSettings {
  readonly shape: ResolvedShape;
  readonly rendezvousMs: number;
  readonly setupTimeoutMs: number;
  readonly silenceMs: number;
  readonly sendWindowBytes: number;
}

const initial: ResolvedLane = { latencyMs: 0.5, jitterMs: 0, tailMs: 0.1, lossRate: 0, bandwidth: 100e6 };

/** Checks the settings and fills in the defaults. @internal */
export function resolveSettings(settings: NetworkSettings = {}): ResolvedSettings {
  checkObject('network', settings);
  return {
    shape: reshape('network', { control: initial, bulk: initial }, settings),
    rendezvousMs: checkNumber('network.rendezvousMs', settings.rendezvousMs ?? 2, 0, 60_000, false),
    setupTimeoutMs: checkNumber(
      'network.setupTimeoutMs',
      settings.setupTimeoutMs ?? 5000,
      100,
      120_000,
      false,
    ),
    silenceMs: checkNumber('network.silenceMs', settings.silenceMs ?? 6000, 100, 600_000, false),
    sendWindowBytes: checkNumber(
      'network.sendWindowBytes',
      settings.sendWindowBytes ?? 2 ** 20,
      2 ** 14,
      2 ** 30,
    ),
  };
}

/** A shape with some of it changed. @internal */
export function reshape(name: string, from: ResolvedShape, change: NetworkShape): ResolvedShape {
  checkObject(name, change);
  const lane = (key: LaneName): ResolvedLane =>
    mergeLane(`${name}.${key}`, mergeLane(name, from[key], change), change[key] ?? {});
  return { control: lane('control'), bulk: lane('bulk') };
}

function mergeLane(name: string, from: ResolvedLane, change: LaneShape): ResolvedLane {
  checkObject(name, change);
  const check = (key: keyof LaneShape, min: number, max: number): number =>
    checkNumber(`${name}.${key}`, change[key] ?? from[key], min, max, false);
  return {
    latencyMs: check('latencyMs', 0, 60_000),
    jitterMs: check('jitterMs', 0, 60_000),
    tailMs: check('tailMs', 0, 60_000),
    lossRate: check('lossRate', 0, 0.95),
    bandwidth: check('bandwidth', 1000, 1e11),
  };
}

function checkObject(name: string, value: unknown): void {
  if (typeof value !== 'object' || value === null) throw configError(name, value, 'an object');
}
