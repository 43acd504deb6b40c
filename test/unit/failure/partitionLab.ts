/** A mesh in virtual time: real tables, gossip and detectors over links that break as told. */
import { Connectivity } from '../../../lib/failure/connectivity.js';
import { PartitionDetector } from '../../../lib/failure/partitionDetector.js';
import type { PartitionState } from '../../../lib/failure/partition.js';
import { RowGossip } from '../../../lib/failure/rowsGossip.js';

export const heartbeatMs = 250;
/** Longest time after which a node of the lab notices that a link fell silent: it looks once a heartbeat. */
export const noticeMs = 1600;

export const incarnationOf = (run: number): string => `${String(run).padStart(15, '0')}-${'ab'.repeat(8)}`;

interface Event {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
}

export class LabNode {
  readonly id: string;
  readonly connectivity: Connectivity;
  readonly gossip: RowGossip;
  readonly detector: PartitionDetector;
  readonly links = new Set<string>();
  readonly states: PartitionState[] = [];
  /** For silent links: when they are given up. */
  readonly giveUp = new Map<string, number>();

  constructor(lab: Lab, id: string, run: number) {
    this.id = id;
    const { forgetMs } = lab;
    this.connectivity = new Connectivity({ id, incarnation: incarnationOf(run), heartbeatMs, forgetMs });
    this.gossip = new RowGossip({
      connectivity: this.connectivity,
      isIncarnation: (text) => text.length === 32,
      neighbours: () => this.links,
      send: (peer, message) =>
        lab.carry(id, peer, (node) => {
          node.gossip.receive(id, message, lab.now);
          node.detector.tick(lab.now);
        }),
    });
    this.detector = new PartitionDetector({
      connectivity: this.connectivity,
      now: lab.now,
      onChange: (view) => this.states.push(view.state),
    });
  }

  /** State and components: what must be the same all over a component. */
  get answer(): string {
    const { state, components } = this.detector.view();
    return `${state} ${components.map((ids) => ids.join('')).join(' ')}`;
  }
}

export interface LabOptions {
  readonly random: () => number;
  /** Share of messages that are lost. */
  readonly loss?: number;
  readonly maxDelayMs?: number;
  readonly forgetMs?: number;
}

export class Lab {
  now = 1000;
  readonly nodes = new Map<string, LabNode>();
  readonly random: () => number;
  readonly forgetMs: number;
  loss: number;
  readonly #maxDelayMs: number;
  readonly #broken = new Set<string>();
  #events: Event[] = [];
  #order = 0;
  #run = 1;

  constructor(options: LabOptions) {
    this.random = options.random;
    this.forgetMs = options.forgetMs ?? 3_600_000;
    this.loss = options.loss ?? 0;
    this.#maxDelayMs = options.maxDelayMs ?? 20;
  }

  node(id: string): LabNode {
    return this.nodes.get(id)!;
  }

  answers(...ids: string[]): string[] {
    return ids.map((id) => this.node(id).answer);
  }

  start(...ids: string[]): void {
    for (const id of ids) {
      const node = new LabNode(this, id, this.#run++);
      this.nodes.set(id, node);
      this.after(Math.floor(this.random() * heartbeatMs), () => this.#beat(node));
    }
  }

  crash(id: string): void {
    this.nodes.delete(id);
  }

  /** A farewell, then silence. */
  leave(id: string): void {
    const node = this.node(id);
    node.connectivity.leave();
    node.gossip.publish();
    this.after(50, () => {
      this.nodes.delete(id);
      for (const other of this.nodes.values()) {
        if (!other.links.delete(id)) continue;
        other.connectivity.proven(id, undefined);
        other.connectivity.set(id, { hears: false }, this.now);
        other.gossip.unlinked(id);
      }
    });
  }

  works(from: string, to: string): boolean {
    return this.nodes.has(from) && this.nodes.has(to) && !this.#broken.has(`${from}>${to}`);
  }

  cutOneWay(from: string, to: string): void {
    this.#broken.add(`${from}>${to}`);
  }

  cut(a: string, b: string): void {
    this.cutOneWay(a, b);
    this.cutOneWay(b, a);
  }

  /** Cuts all links between the first and the others. */
  split(side: readonly string[], rest: readonly string[]): void {
    for (const a of side) for (const b of rest) this.cut(a, b);
  }

  /** How many lists of versions are sent in that time: none once all tables of a component are the same. */
  askedWithin(ms: number): number {
    const asked = (): number => {
      let sum = 0;
      for (const node of this.nodes.values()) sum += node.gossip.metrics().versionsSent;
      return sum;
    };
    const before = asked();
    this.run(ms);
    return asked() - before;
  }

  heal(): void {
    this.#broken.clear();
  }

  after(ms: number, run: () => void): void {
    this.#events.push({ at: this.now + ms, order: this.#order++, run });
  }

  carry(from: string, to: string, deliver: (node: LabNode) => void): void {
    if (this.random() < this.loss) return;
    const sender = this.nodes.get(from);
    this.after(1 + Math.floor(this.random() * this.#maxDelayMs), () => {
      const node = this.nodes.get(to);
      if (this.works(from, to) && this.nodes.get(from) === sender && node?.links.has(from) === true)
        deliver(node);
    });
  }

  run(ms: number): void {
    const until = this.now + ms;
    for (;;) {
      let next: Event | undefined;
      for (const event of this.#events) {
        if (next === undefined || event.at < next.at || (event.at === next.at && event.order < next.order))
          next = event;
      }
      if (next === undefined || next.at > until) break;
      this.#events = this.#events.filter((event) => event !== next);
      this.now = next.at;
      next.run();
    }
    this.now = until;
  }

  /** Components of what really works both ways. */
  truth(): string[][] {
    const left = new Set([...this.nodes.keys()].sort());
    const components: string[][] = [];
    for (const start of left) {
      const component = [start];
      left.delete(start);
      for (const at of component) {
        for (const id of [...left]) {
          if (!this.works(at, id) || !this.works(id, at)) continue;
          left.delete(id);
          component.push(id);
        }
      }
      components.push(component.sort());
    }
    return components;
  }

  #beat(node: LabNode): void {
    if (this.nodes.get(node.id) !== node) return;
    for (const peer of this.nodes.keys()) {
      if (peer !== node.id && !node.links.has(peer)) this.#tryLink(node, this.node(peer));
    }
    for (const peer of [...node.links]) this.#watch(node, peer);
    node.connectivity.tick(this.now);
    node.gossip.publish();
    node.detector.tick(this.now);
    const digest = node.connectivity.digest();
    for (const peer of node.links) {
      this.carry(node.id, peer, (other) => {
        other.gossip.digest(node.id, digest, this.now);
      });
    }
    this.after(heartbeatMs, () => this.#beat(node));
  }

  #tryLink(a: LabNode, b: LabNode): void {
    if (!this.works(a.id, b.id) || !this.works(b.id, a.id) || b.links.has(a.id)) return;
    for (const [node, other] of [
      [a, b],
      [b, a],
    ] as const) {
      node.links.add(other.id);
      node.giveUp.delete(other.id);
      node.connectivity.proven(other.id, other.connectivity.incarnation);
      node.connectivity.set(other.id, { hears: true, phi: this.random() }, this.now);
    }
    a.gossip.linked(b.id, this.now);
    b.gossip.linked(a.id, this.now);
  }

  /** A node that hears nothing notices after a while, and says so with its last word. */
  #watch(node: LabNode, peer: string): void {
    const other = this.nodes.get(peer);
    if (this.works(peer, node.id) && other?.links.has(node.id) === true) {
      node.giveUp.delete(peer);
      node.connectivity.set(peer, { hears: true, phi: this.random() * 3 }, this.now);
      return;
    }
    const at = node.giveUp.get(peer) ?? this.now + this.random() * (noticeMs - 2 * heartbeatMs);
    node.giveUp.set(peer, at);
    if (this.now < at) return;
    node.giveUp.delete(peer);
    node.links.delete(peer);
    node.gossip.unlinked(peer);
    node.connectivity.proven(peer, undefined);
    node.connectivity.set(peer, { hears: false }, this.now);
    if (!this.works(node.id, peer) || other?.links.delete(node.id) !== true) return;
    other.gossip.unlinked(node.id);
    other.connectivity.proven(node.id, undefined);
    other.connectivity.set(node.id, { hears: false }, this.now);
    if (!this.works(peer, node.id)) other.connectivity.deaf(node.id, this.now);
  }
}

/** Numbers from 0 to 1 out of a seed. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}
