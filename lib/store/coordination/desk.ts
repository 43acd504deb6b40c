/**
 * Where the frames of stores arrive on a node, and who waits for an answer. One a mesh, made with its first store.
 *
 * @internal
 */
import type { NodeId } from '../../consensus/consensus.js';
import type { Environment, Timer } from '../../environment.js';
import { QuorateError } from '../../errors.js';
import { meshEnvironment, meshPort, type Mesh } from '../../mesh/mesh.js';
import { FrameKind, type MeshPort } from '../../mesh/port.js';
import { decodeMessage, encodeMessage, type Message, type Request, type RequestType } from './wire.js';

/** Frames from this size on go over the bulk lane, where they delay no election and no commit. */
const BULK_BYTES = 16_384;
/** Requests that wait for an answer, of all stores of the mesh. */
const MAX_CALLS = 16_384;

/** A store that lives here. */
export interface DeskTenant {
  readonly agreement: string;
  /** Whether it talks with this node. */
  knows(peer: NodeId): boolean;
  /** The ring that this node goes by, encoded, where the request was addressed by another version of it. */
  ring(request: Request): Uint8Array | undefined;
  /** Answers a request; rejects with ERR_CODEC for one that breaks the protocol, with anything else for one that cannot be served. */
  serve(peer: NodeId, request: Request): Promise<Uint8Array>;
  /** A member's link is up, or gone. */
  linked(peer: NodeId, up: boolean): void;
  /** A member opened the store with other options, and is not talked with. */
  differs(peer: NodeId): void;
}

interface Call {
  readonly peer: NodeId;
  readonly store: string;
  readonly timer: Timer;
  settle(answer: Uint8Array | QuorateError): void;
}

const desks = new WeakMap<Mesh, StoreDesk>();

/** The desk of a mesh. */
export function storeDeskOf(mesh: Mesh): StoreDesk {
  let desk = desks.get(mesh);
  if (desk === undefined) desks.set(mesh, (desk = new StoreDesk(meshPort(mesh), meshEnvironment(mesh))));
  return desk;
}

export class StoreDesk {
  readonly port: MeshPort;
  readonly environment: Environment;
  readonly #tenants = new Map<string, DeskTenant>();
  readonly #calls = new Map<number, Call>();
  #ids = 0;

  constructor(port: MeshPort, environment: Environment) {
    this.port = port;
    this.environment = environment;
    port.handle(FrameKind.store, (peer, _session, frame) => this.#receive(peer, frame));
    port.listen({ onPeer: (peer, up) => this.#onPeer(peer, up) });
  }

  /** Throws ERR_GROUP_EXISTS. The function it returns ends it: calls that wait are rejected with ERR_CLOSED. */
  open(store: string, tenant: DeskTenant): () => void {
    if (this.#tenants.has(store))
      throw new QuorateError('ERR_GROUP_EXISTS', `this mesh already runs the store ${store}`);
    this.#tenants.set(store, tenant);
    return () => {
      this.#tenants.delete(store);
      for (const call of this.#calls.values())
        if (call.store === store) call.settle(new QuorateError('ERR_CLOSED', 'the store was closed'));
    };
  }

  /**
   * Asks a member. Rejects with ERR_REJECTED of reason `STALE`, and the member's ring as data, where it goes by another version; with ERR_NOT_READY (no link), ERR_REJECTED (it refuses), ERR_TIMEOUT,
   * ERR_OVERLOADED, ERR_CLOSED.
   */
  call(
    peer: NodeId,
    store: string,
    type: RequestType,
    body: Uint8Array,
    timeoutMs: number,
    epoch: number,
  ): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      const { agreement } = this.#tenants.get(store) ?? {};
      if (agreement === undefined) throw new QuorateError('ERR_CLOSED', 'the store was closed');
      if (this.#calls.size >= MAX_CALLS)
        throw new QuorateError(
          'ERR_OVERLOADED',
          `${MAX_CALLS} requests wait for answers, at most so many may`,
        );
      const id = ++this.#ids;
      const settle = (answer: Uint8Array | QuorateError): void => {
        this.#calls.delete(id);
        timer.cancel();
        if (answer instanceof QuorateError) reject(answer);
        else resolve(answer);
      };
      const timer = this.environment.setTimer(timeoutMs, () =>
        settle(new QuorateError('ERR_TIMEOUT', `${peer} did not answer within ${timeoutMs} ms`)),
      );
      this.#calls.set(id, { peer, store, timer, settle });
      if (!this.#send(peer, { kind: 'request', store, agreement, id, epoch, type, body }))
        settle(new QuorateError('ERR_NOT_READY', `${peer} is not linked, or its link takes nothing`));
    });
  }

  /** Looks at what a member answered; who answers what cannot be decoded loses its link. Throws what `look` throws. */
  sound<T>(peer: NodeId, look: () => T): T;
  sound<T>(peer: NodeId, look: () => Promise<T>): Promise<T>;
  sound<T>(peer: NodeId, look: () => T | Promise<T>): T | Promise<T> {
    const fail = (error: unknown): never => {
      if (error instanceof QuorateError && error.code === 'ERR_CODEC') this.port.punish(peer, error.message);
      throw error;
    };
    try {
      const seen = look();
      return seen instanceof Promise ? seen.catch(fail) : seen;
    } catch (error) {
      return fail(error);
    }
  }

  #send(peer: NodeId, message: Message): boolean {
    const frame = encodeMessage(message);
    return this.port.send(peer, FrameKind.store, frame, {
      lane: frame.length < BULK_BYTES ? 'control' : 'bulk',
    });
  }

  #receive(peer: NodeId, frame: Uint8Array): boolean | Promise<boolean> {
    let message: Message;
    try {
      message = decodeMessage(frame);
    } catch (error) {
      if (error instanceof QuorateError && error.code === 'ERR_CODEC') return false;
      throw error;
    }
    if (message.kind === 'request') return this.#serve(peer, message);
    const call = this.#calls.get(message.id);
    // One that nobody waits for any more comes too late; one from another peer is none.
    if (call?.peer !== peer || call.store !== message.store) return true;
    if (message.kind === 'answer') call.settle(message.body);
    else if (message.kind === 'stale') {
      const options = { reason: 'STALE', data: message.ring };
      call.settle(new QuorateError('ERR_REJECTED', `${peer} goes by another version of the ring`, options));
    } else {
      if (message.why === DIFFERS) this.#tenants.get(message.store)?.differs(peer);
      call.settle(new QuorateError('ERR_REJECTED', `${peer} refuses: ${message.why}`));
    }
    return true;
  }

  async #serve(peer: NodeId, request: Request): Promise<boolean> {
    const { store, id } = request;
    const tenant = this.#tenants.get(store);
    const refuse = (why: string): boolean => {
      this.#send(peer, { kind: 'refusal', store, id, why });
      return true;
    };
    if (tenant === undefined) return refuse('it has not opened this store');
    if (!tenant.knows(peer)) return refuse('not a member of this store');
    if (tenant.agreement !== request.agreement) {
      tenant.differs(peer);
      return refuse(DIFFERS);
    }
    const ring = tenant.ring(request);
    if (ring !== undefined) {
      this.#send(peer, { kind: 'stale', store, id, ring });
      return true;
    }
    try {
      const body = await tenant.serve(peer, request);
      this.#send(peer, { kind: 'answer', store, id, body });
      return true;
    } catch (error) {
      if (error instanceof QuorateError && error.code === 'ERR_CODEC') return false;
      return refuse(error instanceof Error ? error.message : String(error));
    }
  }

  #onPeer(peer: NodeId, up: boolean): void {
    if (!up)
      for (const call of [...this.#calls.values()])
        if (call.peer === peer) call.settle(new QuorateError('ERR_NOT_READY', `the link to ${peer} is gone`));
    for (const tenant of this.#tenants.values()) if (tenant.knows(peer)) tenant.linked(peer, up);
  }
}

const DIFFERS = 'the members, the resolution or the leaves of the tree differ';
