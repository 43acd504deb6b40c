/** What the members said, judged: who closed which link, who took whom for dead, who stood still. */
import type { Told } from './messages.js';

/** The other end learns of a closed link within this time, unless it stands still. */
const newsMs = 5000;
/** A stall of a member that nobody ordered counts from here on: an election time-out. */
const unorderedStallMs = 300;

/** How the links of a run ended. */
export interface LinksLost {
  /** The one under trial took a peer for dead. Never right: its peers were well. */
  readonly byVictim: readonly Told[];
  /** A peer took the one under trial for dead. */
  readonly ofVictim: readonly Told[];
  /** The one under trial saw a link end that its peer had closed: the peer took it for dead a moment before. */
  readonly closedOnVictim: readonly Told[];
  /** It saw a link end and nobody said why: lost by the transport. */
  readonly unexplained: readonly Told[];
  /** Ends of links between the others. */
  readonly amongOthers: readonly Told[];
}

/**
 * Sorts every `peer:unreachable`. A member tells whether its own detector said so; a link that ended otherwise was closed by the
 * other end, if that one convicted at most `stalledMs` and a little more before.
 */
export function linksLost(told: readonly Told[], victim: string, stalledMs: number): LinksLost {
  const lost = told.filter(({ event }) => event === 'unreachable');
  const own = lost.filter(({ by }) => by === victim);
  const ofVictim = lost.filter(({ by, about, convicted }) => by !== victim && about === victim && convicted);
  const closedBy = ({ about, at }: Told): boolean =>
    ofVictim.some((other) => other.by === about && other.at <= at && at - other.at <= stalledMs + newsMs);
  const notOwn = own.filter(({ convicted }) => convicted !== true);
  return {
    byVictim: own.filter(({ convicted }) => convicted),
    ofVictim,
    closedOnVictim: notOwn.filter(closedBy),
    unexplained: notOwn.filter((one) => !closedBy(one)),
    amongOthers: lost.filter(({ by, about }) => by !== victim && about !== victim),
  };
}

/** Stalls of an election time-out or more that the run did not order: the machine had no time for these members. */
export function unorderedStalls(told: readonly Told[], victim: string): readonly Told[] {
  return told.filter(({ event, by, ms }) => event === 'stall' && by !== victim && ms! >= unorderedStallMs);
}

/** Whether the peer itself stood still for a second when it was taken for dead: on an overloaded machine that may be right. */
export function stoodStill(told: readonly Told[], { about, at }: Told): boolean {
  return told.some(
    ({ event, by, at: until, ms }) =>
      event === 'stall' && by === about && ms! >= 1000 && until > at - 1000 && until - ms! < at,
  );
}

/** Something that was said, for a failed assertion. */
export function inWords({ at, by, event, about, convicted, ms }: Told): string {
  const rest = ms === undefined ? about : `${about} ${Math.round(ms)} ms`;
  return `${Math.round(at)} ${by}: ${event} ${rest}${convicted === true ? ' (own verdict)' : ''}`;
}
