/** The options of autopilot. */
import type { AutopilotSettings } from '../engine/autopilot.js';
import { checkName, checkNumber, configError, QuorateError } from '../errors.js';

/**
 * Keeps a number of voters among the members that are there, for groups whose machines come and go: all that should be able to vote
 * join `as: 'learner'`, and the leader gives votes to those that stay, and takes them from those that are gone. Give all members the
 * same options: those of the leader count. What it sees of a member it sees anew with each leader.
 */
export interface AutopilotOptions {
  /** How many voters there should be: 1 to 63, an odd number makes sense. */
  readonly voters: number;
  /**
   * Below this number dead voters are not taken their votes where nobody can take their place. From 1 to `voters`.
   *
   * @defaultValue 3, or `voters` when that is less
   */
  readonly minVoters?: number;
  /**
   * Who may be given a vote.
   *
   * @defaultValue everybody
   */
  readonly candidates?: readonly string[];
  /**
   * How long a learner must have been up, without a break, before it is given a vote. In milliseconds, 100 to 10^9.
   *
   * @defaultValue 10000
   */
  readonly stabilizationMs?: number;
  /**
   * A voter that was not heard for so long is dead: another votes in its place, and it learns when it comes back. In milliseconds,
   * 100 to 10^9; more than `lastContactMs`.
   *
   * @defaultValue 30000
   */
  readonly deadMs?: number;
  /**
   * Who answered within this time is up. In milliseconds, 10 to 10^9; at least the election time-out.
   *
   * @defaultValue 1000, or twice the election time-out when that is more
   */
  readonly lastContactMs?: number;
  /**
   * How many indexes a learner may lag when it is given a vote. From 0 to 10^9.
   *
   * @defaultValue 1000
   */
  readonly maxLag?: number;
  /**
   * A learner that was not heard for so long is removed, and has to join again. In milliseconds, 100 to 10^12, at least `deadMs`;
   * `false`: never.
   *
   * @defaultValue 86400000 (a day)
   */
  readonly removeAfterMs?: number | false;
}

/** Checks them; throws ERR_CONFIG. `electionMs`: what the protocol takes to miss a leader. @internal */
export function checkAutopilot(options: AutopilotOptions, electionMs: number): AutopilotSettings {
  if (typeof options !== 'object' || (options as unknown) === null)
    throw configError('autopilot', options, 'an object with `voters`');
  const voters = checkNumber('autopilot.voters', options.voters, 1, 63);
  const minVoters = checkNumber('autopilot.minVoters', options.minVoters ?? Math.min(3, voters), 1, voters);
  const time = (name: string, value: number, from = 100, to = 1e9): number =>
    checkNumber(`autopilot.${name}`, value, from, to, false);
  const stabilizationMs = time('stabilizationMs', options.stabilizationMs ?? 10_000);
  const lastContactMs = time('lastContactMs', options.lastContactMs ?? Math.max(1000, 2 * electionMs), 10);
  const deadMs = time('deadMs', options.deadMs ?? Math.max(30_000, 4 * lastContactMs));
  const { removeAfterMs: given = Math.max(86_400_000, deadMs) } = options;
  const removeAfterMs = given === false ? Infinity : time('removeAfterMs', given, 100, 1e12);
  const maxLag = checkNumber('autopilot.maxLag', options.maxLag ?? 1000, 0, 1e9);
  atLeast('lastContactMs', lastContactMs, 'the election time-out', electionMs);
  if (deadMs <= lastContactMs)
    throw new QuorateError(
      'ERR_CONFIG',
      `autopilot.deadMs must be more than autopilot.lastContactMs (${lastContactMs}), got ${deadMs}`,
    );
  atLeast('removeAfterMs', removeAfterMs, 'autopilot.deadMs', deadMs);
  const candidates = checkCandidates(options.candidates);
  return { voters, minVoters, candidates, stabilizationMs, deadMs, lastContactMs, maxLag, removeAfterMs };
}

function checkCandidates(candidates: readonly string[] | undefined): ReadonlySet<string> | undefined {
  if (candidates === undefined) return undefined;
  const given: unknown = candidates;
  if (!Array.isArray(given) || given.length > 1024)
    throw configError('autopilot.candidates', candidates, 'a list of at most 1024 node ids');
  for (const [at, id] of candidates.entries()) checkName(`autopilot.candidates[${at}]`, id);
  return new Set(candidates);
}

function atLeast(name: string, value: number, other: string, limit: number): void {
  if (value < limit)
    throw new QuorateError(
      'ERR_CONFIG',
      `autopilot.${name} must be at least ${other} (${limit}), got ${value}`,
    );
}
