/** Which of two links of one peer stays. @internal */
import type { NodeId } from '../consensus/consensus.js';
import type { Hello } from './handshake.js';
import type { Link, LinkPath } from './link.js';
import type { RawLink } from './transport.js';

/** A link that is being set up beside one that is there. */
export interface Rival {
  readonly raw: RawLink;
  readonly path: LinkPath;
  readonly hello: Hello;
  /** When its set-up began at this end. */
  readonly began: number;
}

/** A newer run of the peer is linked already. */
export function isOlder(hello: Hello, link: Link | undefined): boolean {
  return link !== undefined && hello.incarnation < link.incarnation;
}

/**
 * Both ends asked for a relayed link at once, and two came of it: the one that the smaller id asked for stays. Both ends judge
 * alike, in whatever order the links come.
 */
export function isOutdone(self: NodeId, { raw, path, hello }: Rival, link: Link | undefined): boolean {
  if (path !== 'relayed' || link?.path !== 'relayed' || link.incarnation !== hello.incarnation) return false;
  const smaller = self < raw.peer;
  return link.offerer === smaller && raw.offerer !== smaller;
}

/**
 * This node asked for a relayed link, and meanwhile the direct one works again. Only who asked may say so, and before it accepts:
 * by then the other end may have given its direct link up.
 */
export function isNeedless({ raw, path, hello }: Rival, link: Link | undefined, bad: boolean): boolean {
  if (path !== 'relayed' || !raw.offerer || link?.path !== 'direct') return false;
  return !bad && link.incarnation === hello.incarnation;
}

/**
 * A relayed link was asked for when there was no direct one, and that came up meanwhile: it stays, as it would if it had come last.
 * The other end judges alike. Who finds its direct link bad asks later than that.
 */
export function isOvertaken({ path, hello, began }: Rival, link: Link | undefined, bad: boolean): boolean {
  if (path !== 'relayed' || link?.path !== 'direct') return false;
  return !bad && link.incarnation === hello.incarnation && began < link.since;
}
