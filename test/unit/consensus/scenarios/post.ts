/** The mail between the nodes of a stage: what is under way, what is held, and what gets lost. */
import type { NodeId } from '../../../../lib/consensus/consensus.js';
import type { RaftMessage } from '../../../../lib/consensus/raft/messages.js';
import type { Kind, Of } from '../rig.js';

/** Which messages are meant; a part that is left out means any. */
export interface Pattern {
  readonly from?: NodeId;
  readonly to?: NodeId;
  readonly type?: Kind;
  /** Both ends are among these. */
  readonly among?: readonly NodeId[];
}

/** A message under way. */
export interface Mail<M extends RaftMessage = RaftMessage> {
  readonly from: NodeId;
  readonly to: NodeId;
  readonly session: number;
  readonly message: M;
}

export class Post {
  /** Under way, oldest first. */
  mail: Mail[] = [];
  /** All that was sent, lost or not, since the last {@link Post.forget}. */
  sent: Mail[] = [];
  readonly #cut = new Set<string>();
  readonly #held = new Set<string>();

  protected post(mail: Mail): void {
    this.sent.push(mail);
    if (!this.#cut.has(`${mail.from}>${mail.to}`)) this.mail.push(mail);
  }

  /** Whether something is under way that is meant and not held. */
  has(where: Pattern): boolean {
    return this.#find(where) >= 0;
  }

  /** Takes out the oldest of it. */
  protected next(where: Pattern): Mail | undefined {
    const at = this.#find(where);
    return at < 0 ? undefined : this.mail.splice(at, 1)[0];
  }

  /** From now on messages from `a` to `b` are lost, and so is what is under way; the link seems up. */
  cut(a: NodeId, b: NodeId): this {
    this.#cut.add(`${a}>${b}`);
    this.lose({ from: a, to: b });
    return this;
  }

  heal(): this {
    this.#cut.clear();
    return this;
  }

  /** From now on messages from `a` to `b` wait, until {@link Stage.release}. */
  hold(a: NodeId, b: NodeId): this {
    this.#held.add(`${a}>${b}`);
    return this;
  }

  release(): this {
    this.#held.clear();
    return this;
  }

  /** Takes out what is under way and meant. It may come back by {@link Stage.inject}. */
  lose(where: Pattern = {}): Mail[] {
    const lost = this.mail.filter((mail) => fits(mail, where));
    this.mail = this.mail.filter((mail) => !fits(mail, where));
    return lost;
  }

  /** What was sent and is meant, since the last {@link Stage.forget}. */
  sentOf<K extends Kind>(type: K, where: Pattern = {}): Of<K>[] {
    return this.sent.filter((mail) => fits(mail, { ...where, type })).map((mail) => mail.message as Of<K>);
  }

  forget(): this {
    this.sent = [];
    return this;
  }

  #find(where: Pattern): number {
    return this.mail.findIndex((mail) => !this.#held.has(`${mail.from}>${mail.to}`) && fits(mail, where));
  }
}

function fits({ from, to, message }: Mail, where: Pattern): boolean {
  return (
    (where.from === undefined || where.from === from) &&
    (where.to === undefined || where.to === to) &&
    (where.type === undefined || where.type === message.type) &&
    (where.among === undefined || (where.among.includes(from) && where.among.includes(to)))
  );
}
