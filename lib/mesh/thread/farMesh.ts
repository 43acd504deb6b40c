/** A mesh as the app's thread sees it when it lives in another one. @internal */
import type { NodeId } from '../../consensus/consensus.js';
import type { Environment } from '../../environment.js';
import { QuorateError } from '../../errors.js';
import { packError, unpackError } from '../../threads/errors.js';
import type { Channel, ChannelEnd, Line } from '../../threads/line.js';
import { Credentials, type FollowedList, type RotateSecretOptions } from '../credentials.js';
import type { MeshParts, MeshSink } from '../mesh.js';
import { fetchSecret, type ClusterSecret } from '../secret.js';
import { FarPort } from './farPort.js';
import type { FromMesh, FromMeshApp, JoinPlan, MeshEvent, MeshOrder, Mirror } from './items.js';

/**
 * The identity of such a mesh. What changes it is checked and kept here, and then done there in the same order: both ends come to
 * the same list.
 */
class FarIdentity extends Credentials {
  readonly #channel: Channel;
  #turn: Promise<void> = Promise.resolve();
  #following = false;

  constructor(from: Credentials, channel: Channel) {
    super(from.parts);
    this.#channel = channel;
  }

  override trust(id: NodeId, keys: string | readonly string[]): void {
    super.trust(id, keys);
    this.#say({ type: 'trust', peer: id, keys });
  }

  override revoke(id: NodeId): void {
    super.revoke(id);
    this.#say({ type: 'revoke', peer: id });
  }

  override rotateSecret(secret: ClusterSecret, options: RotateSecretOptions = {}): Promise<void> {
    const turn = this.#turn.then(async () => {
      const plain = (await fetchSecret(secret)) as ClusterSecret;
      await super.rotateSecret(plain, options);
      const order: MeshOrder = { type: 'rotateSecret', secret: plain, relink: options.relink ?? false };
      await this.#channel.ask(order);
    });
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  override follow(list: FollowedList): void {
    this.#following = true; // what there is to warn of is warned of there
    super.follow(list);
    this.#following = false;
    this.#say({ type: 'follow', list: plainList(list) });
  }

  override warn(error: Error): void {
    if (!this.#following) this.#say({ type: 'warn', error: packError(error) });
  }

  #say(item: FromMeshApp): void {
    this.#channel.say(item);
  }
}

/** A list may come with more than it should, such as the object of a replica's answer. */
function plainList({ revision, trusted, revoked, revokedKeys }: FollowedList): FollowedList {
  return {
    revision,
    trusted: trusted.map(([id, keys]) => [id, [...keys]] as const),
    revoked: [...revoked],
    revokedKeys: [...revokedKeys],
  };
}

/** What is behind a {@link FarMesh}: the line to its thread, and how to let go of it. */
export interface FarMeshOptions {
  readonly plan: JoinPlan;
  readonly credentials: Credentials;
  readonly environment: Environment;
  readonly line: Line;
  /** The first picture. */
  readonly mirror: Mirror;
  /** The mesh has left; its line is closed. */
  readonly release: () => Promise<void>;
}

export class FarMesh implements ChannelEnd {
  readonly #channel: Channel;
  readonly #options: FarMeshOptions;
  readonly #port: FarPort;
  #mirror: Mirror;
  #sink: MeshSink | undefined;
  #early: ((sink: MeshSink) => void)[] | undefined = [];
  #takenEvents = 0;
  #takenMirrors = 0;
  #closing = false;
  #cut = false;

  constructor(options: FarMeshOptions) {
    const { plan, line, environment, mirror } = options;
    this.#options = options;
    this.#mirror = mirror;
    this.#channel = line.channel('mesh');
    this.#port = new FarPort(plan.id, plan.cluster, this.#channel, environment);
    this.#channel.attach(this);
  }

  /** The mesh in parts. */
  get parts(): MeshParts {
    const { plan, environment, credentials, line } = this.#options;
    return {
      id: plan.id,
      identity: new FarIdentity(credentials, this.#channel),
      environment,
      port: this.#port,
      engine: line.channel('engine'),
      peers: () => [...this.#mirror.peers],
      partition: () => this.#mirror.partition,
      metrics: () => this.#mirror.metrics,
      attach: (sink) => {
        this.#sink = sink;
        environment.defer(() => {
          const early = this.#early ?? [];
          this.#early = undefined;
          for (const tell of early) tell(sink);
        });
      },
      shutDown: () => this.#shutDown(),
    };
  }

  async #shutDown(): Promise<void> {
    this.#closing = true;
    try {
      if (!this.#cut) await this.#channel.ask({ type: 'close' } satisfies MeshOrder);
    } finally {
      this.#options.line.close();
      await this.#options.release();
    }
  }

  heard(item: unknown): void {
    const said = item as FromMesh;
    switch (said.type) {
      case 'frame':
        this.#port.received(said);
        return;
      case 'sent':
        this.#port.sent(said);
        return;
      case 'mirror':
        this.#mirror = said.mirror;
        this.#takenMirrors++;
        break;
      case 'resync':
        this.#port.resync(said.linked);
        this.#takenEvents++;
        // Whoever waits for peers looks again.
        this.#tell((sink) => sink.linked());
        break;
      case 'event':
        this.#event(said.event);
        this.#takenEvents++;
    }
    this.#channel.wake();
  }

  /** Says in one what was taken in a turn. */
  leaving(): void {
    if (this.#takenEvents === 0 && this.#takenMirrors === 0) return;
    const taken: FromMeshApp = { type: 'taken', events: this.#takenEvents, mirrors: this.#takenMirrors };
    this.#takenEvents = 0;
    this.#takenMirrors = 0;
    this.#channel.say(taken);
  }

  /** The thread is gone: nobody is linked any more. */
  cut(error: Error): void {
    this.#cut = true;
    this.#port.resync([]);
    if (this.#closing) return;
    const { partition, metrics } = this.#mirror;
    const peers = this.#mirror.peers.map(
      (peer) => ({ ...peer, state: 'unreachable', path: 'none', phi: undefined, rttMs: undefined }) as const,
    );
    this.#mirror = { peers, partition, metrics };
    this.#tell((sink) => sink.failed(error));
  }

  #event(event: MeshEvent): void {
    switch (event.type) {
      case 'up':
        this.#port.up(event.link);
        this.#tell((sink) => sink.linked());
        return;
      case 'down':
        this.#port.down(event.peer, event.session);
        return;
      case 'state':
        this.#patch(event.peer, {
          state: event.state,
          ...(event.state === 'unreachable' && { path: 'none' }),
        });
        this.#tell((sink) => sink.state(event.peer, event.state));
        return;
      case 'path':
        this.#patch(event.peer, { path: event.path });
        this.#tell((sink) => sink.path(event.peer, event.path));
        return;
      case 'partition':
        this.#mirror = { ...this.#mirror, partition: event.view };
        this.#tell((sink) => sink.partition(event.view));
        return;
      case 'stall':
        this.#tell((sink) => sink.stall(event.ms));
        return;
      case 'refused':
        this.#refused(event.peer, unpackError(event.error));
        return;
      case 'warning':
        this.#tell((sink) => sink.warning(unpackError(event.error)));
    }
  }

  #refused(peer: NodeId, error: Error): void {
    if (error instanceof QuorateError) this.#tell((sink) => sink.refused(peer, error));
  }

  /** What an event says shows at once, not with the next picture. */
  #patch(id: NodeId, change: Partial<Pick<Mirror['peers'][number], 'state' | 'path'>>): void {
    const blank = { id, state: 'connecting', path: 'none', publicKey: undefined, phi: undefined } as const;
    const before = this.#mirror.peers.find((peer) => peer.id === id) ?? { ...blank, rttMs: undefined };
    const others = this.#mirror.peers.filter((peer) => peer.id !== id);
    this.#mirror = { ...this.#mirror, peers: [...others, { ...before, ...change }] };
  }

  #tell(tell: (sink: MeshSink) => void): void {
    if (this.#early !== undefined) this.#early.push(tell);
    else tell(this.#sink!);
  }
}
