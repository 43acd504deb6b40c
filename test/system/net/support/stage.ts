/** A scenario's course: a group on hosts of its own, calm, disturbed, healed, judged. */
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { analyzeLinearizability } from '../../../../lib/testing/linearizability/checkLinearizable.js';
import { keyValueModel } from '../../../../lib/testing/linearizability/keyValueModel.js';
import { record, type Row } from './figures.js';
import type { Shape } from './forwarder.js';
import { Lab, type HostOptions } from './lab.js';
import { LabMember } from './member.js';
import { now, sleep, until, type Running } from './processes.js';
import type { Load, View } from './protocol.js';
import { startRendezvous, startTurn } from './servers.js';

/** The clients of every node: few enough that the checker can follow, and that two cores do. */
const load: Load = { clients: 2, keys: 8, pauseMs: 4, timeoutMs: 2000 };

export interface StageOptions {
  readonly scenario: string;
  readonly ids: readonly string[];
  /** What hosts are like; ordinary ones may be left out. */
  readonly hosts?: Readonly<Record<string, HostOptions>>;
  /** What the forwarder does to every shaped host from the start. */
  readonly shape?: Shape;
  /** Run a TURN server, and give it to all nodes. */
  readonly turn?: boolean;
  /** Nodes take nothing but relayed paths. */
  readonly relayOnly?: boolean;
  /** What differs from the usual clients. */
  readonly load?: Partial<Load>;
}

export class Stage {
  readonly lab: Lab;
  readonly members: readonly LabMember[];
  readonly rendezvous: Running;
  /** Its process, where there is one. */
  turn: Running | undefined;
  readonly #options: StageOptions;
  readonly #directory: string;
  readonly #figures: { -readonly [K in keyof Row]?: Row[K] } = {};
  #epochBefore = 0;
  #from = 0;
  #acted = 0;
  #to = 0;

  private constructor(
    options: StageOptions,
    lab: Lab,
    members: readonly LabMember[],
    rendezvous: Running,
    directory: string,
  ) {
    this.#options = options;
    this.lab = lab;
    this.members = members;
    this.rendezvous = rendezvous;
    this.#directory = directory;
  }

  /** Builds the hosts, starts the nodes, and waits for the full mesh and a leader. */
  static async open(options: StageOptions): Promise<Stage> {
    const { ids, hosts = {}, shape, turn } = options;
    const all: Record<string, HostOptions> = Object.fromEntries(ids.map((id) => [id, hosts[id] ?? {}]));
    const directory = await mkdtemp(join(tmpdir(), 'quorate-lab-'));
    let lab: Lab | undefined;
    try {
      lab = await Lab.open({ ...all, rendezvous: {}, ...(turn === true && { turn: {} }) });
      if (shape !== undefined) for (const id of ids) if (all[id]!.shaped === true) await lab.shape(id, shape);
      const { url, process: rendezvous } = await startRendezvous(lab, 'rendezvous');
      const turnServer = turn === true ? await startTurn(lab, 'turn', directory) : undefined;
      const secret = randomBytes(32).toString('base64');
      const members = ids.map(
        (id) =>
          new LabMember(lab!, {
            id,
            members: ids,
            signaling: url,
            secret,
            directory: join(directory, id),
            webrtc: {
              iceServers: turnServer?.iceServers ?? [],
              iceTransportPolicy: options.relayOnly === true ? 'relay' : 'all',
            },
          }),
      );
      const stage = new Stage(options, lab, members, rendezvous, directory);
      stage.turn = turnServer?.process;
      const started = now();
      await Promise.all(members.map((member) => member.start()));
      await stage.whole(60_000);
      stage.#figures.formedMs = stage.#lastAt((view) => stage.#isWhole(view, members), started) - started;
      await stage.led(30_000);
      return stage;
    } catch (error) {
      await lab?.close();
      await rm(directory, { recursive: true, force: true });
      throw error;
    }
  }

  /** Kills everything and removes every trace; safe to call again. */
  async close(): Promise<void> {
    await this.lab.close();
    await rm(this.#directory, { recursive: true, force: true });
  }

  member(id: string): LabMember {
    return this.members.find((member) => member.id === id)!;
  }

  get running(): readonly LabMember[] {
    return this.members.filter((member) => member.running);
  }

  /** Who leads, as the leader itself says; the one of the highest epoch. */
  get leader(): string | undefined {
    return [...this.running]
      .sort((x, y) => (y.view?.epoch ?? 0) - (x.view?.epoch ?? 0))
      .find((member) => member.view?.role === 'leader')?.id;
  }

  /** Whether some node reached another through a third, now or before: what a mesh without relay never does. */
  get relayed(): boolean {
    return this.members.some(({ views }) =>
      views.some((view) => Object.values(view.peers).some(({ path }) => path === 'relayed')),
    );
  }

  /** Whether these nodes have a view of partitions. */
  get seesPartitions(): boolean {
    return this.members.some(({ views }) => views.at(-1)?.partition !== undefined);
  }

  /** Load without any disturbance: what the disturbance is compared with. */
  async calm(ms: number): Promise<void> {
    for (const member of this.running) this.#load(member);
    await this.#first(this.running);
    await sleep(1000);
    const from = now();
    await sleep(ms);
    this.#figures.commitsBefore = this.#commits(from, now()) / (ms / 1000);
    this.#epochBefore = this.#epoch();
  }

  /** Does it; the clock of detection runs from just before, so starting the programs that cut counts in. */
  async disturb(action: () => Promise<unknown>): Promise<void> {
    this.#from = now();
    await action();
    this.#acted = now();
  }

  /** Waits until each of these nodes has given up, or found a way around, its direct link to the other. */
  async detected(
    pairs: readonly (readonly [observer: string, peer: string])[],
    timeoutMs: number,
  ): Promise<void> {
    const when = (judge: (peer: { state: string; path: string }) => boolean) => (): number[] | undefined => {
      const times = pairs.map(
        ([observer, peer]) =>
          this.member(observer).views.find(
            ({ at, peers }) => at >= this.#from && peers[peer] !== undefined && judge(peers[peer]),
          )?.at,
      );
      return times.every((at) => at !== undefined) ? times : undefined;
    };
    const lost = when((peer) => !hasDirect(peer));
    const suspected = when(({ state, path }) => state !== 'up' || path !== 'direct');
    const times = await until(
      `all of ${pairs.map((pair) => pair.join('→')).join(' ')} noticed`,
      lost,
      timeoutMs,
    );
    this.#figures.detectMs = Math.max(...times) - this.#from;
    this.#figures.suspectMs = Math.max(...suspected()!) - this.#from;
  }

  /** Ends the disturbance: figures up to here are "during", and recovery is timed from here. */
  async heal(action: () => Promise<unknown>): Promise<void> {
    this.#to = now();
    const seconds = (this.#to - this.#from) / 1000;
    this.#figures.commitsDuring = this.#commits(this.#from, this.#to) / seconds;
    this.#figures.linksLost = this.#linksLost();
    this.#seeStates();
    await action();
  }

  /** Starts a dead node again, and its clients. */
  async restart(id: string): Promise<void> {
    await this.member(id).start();
    this.#load(this.member(id));
  }

  /** Starts the TURN server again. */
  async restartTurn(): Promise<void> {
    this.turn = (await startTurn(this.lab, 'turn', this.#directory)).process;
  }

  /** For what heals by itself: recovery is timed from the disturbance, and all until now was "during". */
  async selfHealed(): Promise<void> {
    await this.heal(async () => undefined);
    this.#to = this.#acted;
  }

  /** Waits until every running node has committed a write of its own after the healing. */
  async served(timeoutMs: number): Promise<void> {
    const { running } = this;
    for (const member of running) {
      await until(
        `a write of ${member.id}`,
        () => member.done.findLast((done) => done.call >= this.#to && isCommit(done)) !== undefined,
        timeoutMs,
      );
    }
    const served = running.map(
      (member) => member.done.find((done) => done.call >= this.#to && isCommit(done))!.return!,
    );
    this.#figures.serveMs = Math.max(...served) - this.#to;
  }

  /** Waits for that, and until all links are direct. */
  async recovered(timeoutMs: number): Promise<void> {
    const { running } = this;
    await this.served(timeoutMs);
    await this.whole(timeoutMs);
    this.#figures.recoverMs = this.#lastAt((view) => this.#isWhole(view, running), this.#to) - this.#to;
  }

  /** Rests, compares the states of all, checks the history, and records the row. */
  async finish(): Promise<Row> {
    const { running } = this;
    await Promise.all(running.map((member) => member.rest()));
    await this.led(30_000);
    await until(
      'all members at the same index',
      () => new Set(running.map(({ view }) => view?.applied)).size === 1,
      30_000,
    );
    await this.#healthy(running);
    const digests = await Promise.all(running.map((member) => member.digest()));
    const states = new Set(digests.map(({ index, digest }) => `${index} ${digest}`));
    const failed = this.members.flatMap(({ events }) =>
      events.filter(({ name }) => name === 'replica:failed'),
    );
    const history = this.members.flatMap((member) => member.history());
    const { verdict, text } = analyzeLinearizability(keyValueModel(), history, { timeoutMs: 60_000 });
    const row: Row = {
      scenario: this.#options.scenario,
      nodes: this.members.length,
      commitsBefore: 0,
      commitsDuring: 0,
      linksLost: 0,
      ...this.#figures,
      elections: this.#epoch() - this.#epochBefore,
      operations: history.length,
      verdict: states.size === 1 && failed.length === 0 ? verdict : 'states differ',
    };
    record(row);
    if (row.verdict === 'ok') return row;
    throw new Error([...states, ...failed.flatMap(({ args }) => args), text].join('\n'));
  }

  /** Waits until every running node is linked directly to every other one. */
  async whole(timeoutMs: number): Promise<void> {
    const { running } = this;
    await until(
      'all links up and direct',
      () => running.every(({ view }) => view !== undefined && this.#isWhole(view, running)),
      timeoutMs,
    ).catch((error: unknown) => {
      const seen = running.map(({ id, view, events }) => {
        const last = events
          .slice(-20)
          .map(({ at, name, args }) => `  ${at.toFixed(0)} ${[name, ...args].join(' ')}`);
        return [`${id}: ${JSON.stringify(view?.peers)}`, ...last].join('\n');
      });
      throw new Error(`${String(error)}\n${seen.join('\n')}`);
    });
  }

  /** Waits until all running nodes follow one leader that has a quorum. */
  async led(timeoutMs: number): Promise<void> {
    const { running } = this;
    await until(
      'one leader',
      () =>
        new Set(running.map(({ view }) => view?.leader)).size === 1 &&
        running.every(({ view }) => view?.leader !== undefined && view.quorum),
      timeoutMs,
    );
  }

  /** The moment so many milliseconds ago, but not before the disturbance. */
  since(ms: number): number {
    return Math.max(this.#from, now() - ms);
  }

  /** How many commits the clients of these nodes asked for, and got, from that moment to now. */
  commitsDuring(ids: readonly string[], from: number): number {
    return this.#commits(from, now(), ids);
  }

  #commits(from: number, to: number, ids: readonly string[] = this.members.map(({ id }) => id)): number {
    return ids
      .flatMap((id) => this.member(id).done)
      .filter((done) => isCommit(done) && done.call >= from && done.return! <= to).length;
  }

  /** Waits until the views of partitions, where there are any, say so. */
  async #healthy(running: readonly LabMember[]): Promise<void> {
    if (!this.seesPartitions) return;
    const healthy = (view: View | undefined): boolean => view?.partition?.state === 'healthy';
    await until('all healthy', () => running.every(({ view }) => healthy(view)), 30_000).catch(
      (error: unknown) => {
        const seen = running.map(({ id, view }) => `${id}: ${JSON.stringify(view)}`);
        throw new Error(`${String(error)}\n${seen.join('\n')}`);
      },
    );
    this.#figures.healthyMs = this.#lastAt(healthy, this.#to) - this.#to;
  }

  #load(member: LabMember): void {
    member.load({ ...load, ...this.#options.load });
  }

  async #first(members: readonly LabMember[]): Promise<void> {
    const since = now();
    for (const { id, done } of members)
      await until(
        `a first write of ${id}`,
        () => done.some((one) => isCommit(one) && one.call > since),
        30_000,
      );
  }

  #isWhole(view: View, members: readonly LabMember[]): boolean {
    const links = Object.entries(view.peers).filter(
      ([, { state, path }]) => state === 'up' && path === 'direct',
    );
    const linked = new Set(links.map(([id]) => id));
    return members.filter(({ id }) => linked.has(id)).length === members.length - 1;
  }

  /** When the last running node began to fulfil this for good; not before `since`. */
  #lastAt(fulfils: (view: View) => boolean, since: number): number {
    const times = this.running.map(({ views }) => {
      const failing = views.findLastIndex((view) => !fulfils(view));
      return views[failing + 1]?.at ?? Infinity;
    });
    return Math.max(since, ...times);
  }

  #epoch(): number {
    return Math.max(...this.members.map(({ views }) => views.at(-1)?.epoch ?? 0));
  }

  /** How often a node gave up a direct link during the disturbance. */
  #linksLost(): number {
    let lost = 0;
    for (const { views } of this.members) {
      for (const [at, view] of views.entries()) {
        if (at === 0 || view.at < this.#from || view.at > this.#to) continue;
        for (const [id, peer] of Object.entries(views[at - 1]!.peers))
          if (hasDirect(peer) && view.peers[id] !== undefined && !hasDirect(view.peers[id])) lost++;
      }
    }
    return lost;
  }

  /** What the nodes' views of partitions said of the disturbance: at its end if it was a cut, else all there was. */
  #seeStates(): void {
    if (!this.seesPartitions) return;
    const seen = this.running.map(({ id, views }) => ({
      id,
      during: views.filter(({ at }) => at >= this.#from && at <= this.#to),
    }));
    const by = new Map<string, string[]>();
    for (const { id, during } of seen) {
      const states = during.map(({ partition }) => partition?.state ?? 'none');
      const told = this.#figures.detectMs === undefined ? new Set(states) : states.slice(-1);
      for (const state of told) by.set(state, [...(by.get(state) ?? []), id]);
    }
    const all = [...by.values()].every((ids) => ids.length === seen.length);
    this.#figures.state = Array.from(by, ([state, ids]) =>
      all ? state : `${state} (${ids.join(' ')})`,
    ).join(', ');
    if (this.#figures.detectMs === undefined) return;
    const settled = seen.map(({ during }) => {
      const last = during.at(-1)?.partition?.state;
      return during[during.findLastIndex(({ partition }) => partition?.state !== last) + 1]?.at ?? this.#from;
    });
    this.#figures.stateMs = Math.max(...settled) - this.#from;
  }
}

function hasDirect({ state, path }: { state: string; path: string }): boolean {
  return state !== 'unreachable' && path === 'direct';
}

function isCommit({
  input,
  refused,
  return: at,
}: {
  input: { op: string };
  refused?: string;
  return?: number;
}): boolean {
  return at !== undefined && refused === undefined && (input.op === 'put' || input.op === 'cas');
}
