/**
 * Hosts with addresses of their own on one machine: network namespaces around a bridge in a namespace of its own. Nothing outside
 * of these namespaces is touched, and all of it goes when the laboratory closes or its process dies.
 *
 * ```
 *   host: eth0 ──veth── bridge                              an ordinary host
 *   host: eth0 ──veth── [forwarder] ──veth── bridge         a shaped one
 *   host: eth0 ──veth── lan: router :wan ──veth── bridge    one behind a NAT
 * ```
 */
import { readdirSync } from 'node:fs';
import { spawn, type ChildProcess } from 'node:child_process';
import { Forwarder, type ForwarderCounts, type Shape } from './forwarder.js';
import { run, Running } from './processes.js';

const prefix = 'qlab';
const subnet = '10.77.0';
/** Where the rest of the internet would be. Frames to it vanish, as packets to a stranger's private address do out there. */
const nowhere = { address: `${subnet}.254`, mac: '02:77:00:00:ff:fe' };

/** A host of the laboratory. */
export interface Host {
  readonly name: string;
  readonly namespace: string;
  /** The hardware address of its only interface. Cuts go by it, so that they hold when the address changes. */
  readonly mac: string;
  /** Its address now. */
  readonly address: string;
}

/** How a NAT router maps ports outward. */
export type Mapping =
  /** Keeps the port where it can: two peers behind such routers reach each other with STUN alone. */
  | 'port-preserving'
  /** A random port for each destination ("symmetric"): two peers behind such routers need a TURN server. */
  | 'random';

/** What a host of the laboratory is like. */
export interface HostOptions {
  /** Its frames go through the forwarder, which can spoil them. Needs a C compiler. */
  readonly shaped?: boolean;
  /** It lives on a private network behind a NAT router. */
  readonly nat?: Mapping;
}

interface MutableHost {
  readonly name: string;
  readonly namespace: string;
  readonly mac: string;
  readonly nat: boolean;
  address: string;
}

let labs = 0;

export class Lab {
  readonly #name: string;
  readonly #core: string;
  readonly #hosts = new Map<string, MutableHost>();
  readonly #namespaces: string[] = [];
  readonly #running = new Set<Running>();
  readonly #cuts = new Set<string>();
  readonly #shaped = new Map<string, [string, string]>();
  #forwarder: Forwarder | undefined;
  readonly #janitor: ChildProcess;
  #interfaces = 0;

  private constructor() {
    this.#name = `${prefix}-${process.pid}-${++labs}`;
    this.#core = `${this.#name}-core`;
    // Cleans up if this process cannot: its stdin ends when this process does, however that comes about.
    const script = `cat >/dev/null; ${sweepScript(this.#name)}`;
    this.#janitor = spawn('sh', ['-c', script], { stdio: ['pipe', 'ignore', 'ignore'], detached: true });
    this.#janitor.unref();
  }

  /** Makes hosts, in one go. */
  static async open(hosts: Readonly<Record<string, HostOptions>>): Promise<Lab> {
    await sweepDead();
    const lab = new Lab();
    try {
      await lab.#open(hosts);
    } catch (error) {
      await lab.close();
      throw error;
    }
    return lab;
  }

  async #open(hosts: Readonly<Record<string, HostOptions>>): Promise<void> {
    await this.#addNamespace(this.#core);
    await this.#ip(this.#core, 'link add br0 type bridge', 'link set br0 up');
    for (const [name, options] of Object.entries(hosts)) {
      if (options.nat !== undefined) await this.#addBehindNat(name, options.nat);
      else await this.#addHost(name, options.shaped === true);
    }
    if (this.#shaped.size > 0) {
      this.#forwarder = await Forwarder.start(this.#enter(this.#core), this.#shaped);
      this.#running.add(this.#forwarder.process);
    }
  }

  host(name: string): Host {
    return this.#host(name);
  }

  get hosts(): readonly Host[] {
    return [...this.#hosts.values()];
  }

  /** Starts a program on a host; it is killed when the laboratory closes. */
  spawn(host: string, what: string, command: readonly string[]): Running {
    const running = new Running(what, [...this.#enter(this.#host(host).namespace), ...command]);
    this.#running.add(running);
    void running.ended.then(() => this.#running.delete(running));
    return running;
  }

  /** Runs a program on a host to its end. */
  exec(host: string, command: readonly string[]): Promise<string> {
    const [program, ...args] = [...this.#enter(this.#host(host).namespace), ...command];
    return run(program!, args);
  }

  /** Nothing passes between two hosts any more. */
  cut(a: string, b: string): Promise<void> {
    return this.#cut([
      [a, b],
      [b, a],
    ]);
  }

  /** Nothing passes from one host to the other; the way back is open. */
  cutOneWay(from: string, to: string): Promise<void> {
    return this.#cut([[from, to]]);
  }

  /** Nothing passes between hosts of different groups. Hosts in no group reach everybody. */
  partition(groups: readonly (readonly string[])[]): Promise<void> {
    const cuts: [string, string][] = [];
    for (const group of groups)
      for (const other of groups)
        if (other !== group) for (const from of group) for (const to of other) cuts.push([from, to]);
    return this.#cut(cuts);
  }

  /** Takes all cuts back, or those between two hosts. */
  async heal(a?: string, b?: string): Promise<void> {
    const healed = new Set<string>();
    for (const cut of [...this.#cuts]) {
      const [from, to] = cut.split('>') as [string, string];
      const concerned =
        a === undefined ||
        (b === undefined ? from === a || to === a : cut === `${a}>${b}` || cut === `${b}>${a}`);
      if (!concerned) continue;
      this.#cuts.delete(cut);
      healed.add(to);
    }
    await this.#filter(healed);
  }

  /** Gives a host another address, as when a laptop changes network. Its processes are not told. */
  async setAddress(name: string, last: number): Promise<string> {
    const host = this.#host(name);
    if (host.nat) throw new Error(`${name} is behind a NAT`);
    const address = `${subnet}.${last}`;
    await this.#ip(host.namespace, 'addr flush dev eth0', ...reachable(address, 'eth0'));
    host.address = address;
    return address;
  }

  /** Changes what the forwarder does to a shaped host's frames. `up` is away from the host. */
  async shape(name: string, shape: Shape, way: 'up' | 'down' | 'both' = 'both'): Promise<void> {
    await this.#forward().set(name, way, shape);
  }

  counts(name: string, way: 'up' | 'down'): Promise<ForwarderCounts> {
    return this.#forward().counts(name, way);
  }

  /** How many packets a host's interface has received. */
  async received(name: string): Promise<number> {
    const text = await this.exec(name, ['cat', '/sys/class/net/eth0/statistics/rx_packets']);
    return Number(text);
  }

  /** Kills what runs, and removes all namespaces. Safe to call again. */
  async close(): Promise<void> {
    await Promise.all([...this.#running].map((running) => running.kill()));
    for (const namespace of this.#namespaces.splice(0).reverse())
      await run('ip', ['netns', 'del', namespace]).catch(() => undefined);
    if (this.#janitor.exitCode !== null || this.#janitor.stdin?.writableEnded === true) return;
    const gone = new Promise((resolve) => this.#janitor.once('exit', resolve));
    this.#janitor.stdin?.end();
    await gone;
  }

  async #addNamespace(name: string): Promise<void> {
    this.#namespaces.push(name);
    await run('ip', ['netns', 'add', name]);
    // One family of addresses, so that a cut or a shape is what it says. Redirects would take traffic past a router.
    await run('ip', [
      ...['netns', 'exec', name, 'sh', '-c'],
      'cd /proc/sys/net; echo 1 >ipv6/conf/all/disable_ipv6; echo 1 >ipv6/conf/default/disable_ipv6; echo 0 >ipv4/conf/all/send_redirects; :',
    ]);
    await this.#ip(name, 'link set lo up');
  }

  async #addHost(name: string, shaped: boolean): Promise<void> {
    const host = await this.#newHost(name, false);
    const number = this.#interfaces;
    if (shaped) {
      await this.#ip(
        this.#core,
        `link add w${number} type veth peer name eth0 netns ${host.namespace}`,
        `link add x${number} type veth peer name p${number}`,
        `link set w${number} up`,
        `link set x${number} up`,
      );
      this.#shaped.set(name, [`w${number}`, `x${number}`]);
    } else {
      await this.#ip(this.#core, `link add p${number} type veth peer name eth0 netns ${host.namespace}`);
    }
    await this.#ip(this.#core, `link set p${number} master br0 up`);
    await this.#ip(
      host.namespace,
      `link set eth0 address ${host.mac} up`,
      `neigh add ${nowhere.address} lladdr ${nowhere.mac} dev eth0 nud permanent`,
      ...reachable(host.address, 'eth0'),
    );
    await this.#wholeFrames(host.namespace, 'eth0');
  }

  async #addBehindNat(name: string, mapping: Mapping): Promise<void> {
    const host = await this.#newHost(name, true);
    const router = `${this.#name}-${name}-nat`;
    const number = this.#interfaces;
    await this.#addNamespace(router);
    await this.#ip(this.#core, `link add p${number} type veth peer name wan netns ${router}`);
    await this.#ip(this.#core, `link set p${number} master br0 up`);
    const inside = `192.168.${number}`;
    await this.#ip(
      router,
      `link add lan type veth peer name eth0 netns ${host.namespace}`,
      'link set wan up',
      'link set lan up',
      `addr add ${inside}.1/24 dev lan`,
      `neigh add ${nowhere.address} lladdr ${nowhere.mac} dev wan nud permanent`,
      ...reachable(host.address, 'wan'),
    );
    await this.#wholeFrames(router, 'wan');
    await this.#wholeFrames(router, 'lan');
    host.address = `${inside}.2`;
    await this.#ip(
      host.namespace,
      `link set eth0 address ${host.mac} up`,
      `addr add ${host.address}/24 dev eth0`,
      `route add default via ${inside}.1`,
    );
    await this.#wholeFrames(host.namespace, 'eth0');
    await run('ip', ['netns', 'exec', router, 'sh', '-c', 'echo 1 >/proc/sys/net/ipv4/ip_forward']);
    const flags = mapping === 'random' ? ' fully-random' : '';
    await this.#nft(
      router,
      `table ip qlab {
        chain out { type nat hook postrouting priority 100; oifname wan masquerade${flags}; }
        chain forward { type filter hook forward priority 0; iifname wan ct state established,related accept; iifname wan drop; }
        chain in { type filter hook input priority 0; iifname wan ct state established,related accept; iifname wan drop; }
      }`,
    );
  }

  async #newHost(name: string, nat: boolean): Promise<MutableHost> {
    if (this.#hosts.has(name) || !/^[a-z0-9]{1,12}$/.test(name))
      throw new Error(`not a new host's name: ${name}`);
    const number = ++this.#interfaces;
    const host = {
      name,
      namespace: `${this.#name}-${name}`,
      mac: `02:77:00:00:00:${number.toString(16).padStart(2, '0')}`,
      nat,
      address: `${subnet}.${number}`,
    };
    await this.#addNamespace(host.namespace);
    this.#hosts.set(name, host);
    return host;
  }

  /** The forwarder passes frames on as they are: hardware that is not there must not be left to fill in or split them. */
  #wholeFrames(namespace: string, device: string): Promise<string> {
    const off = ['tx', 'tso', 'gso', 'gro'].flatMap((feature) => [feature, 'off']);
    return run('ip', ['netns', 'exec', namespace, 'ethtool', '-K', device, ...off]);
  }

  #cut(cuts: readonly (readonly [string, string])[]): Promise<void> {
    for (const [from, to] of cuts) {
      if (this.#host(from).nat || this.#host(to).nat) throw new Error(`${from} or ${to} is behind a NAT`);
      this.#cuts.add(`${from}>${to}`);
    }
    return this.#filter(new Set(cuts.map(([, to]) => to)));
  }

  /** Writes the filters of these hosts anew, each at one stroke. */
  async #filter(hosts: ReadonlySet<string>): Promise<void> {
    await Promise.all(
      Array.from(hosts, (name) => {
        const macs = [...this.#cuts]
          .filter((cut) => cut.endsWith(`>${name}`))
          .map((cut) => this.#host(cut.split('>')[0]!).mac);
        const rule = macs.length === 0 ? '' : `ether saddr { ${macs.join(', ')} } drop;`;
        return this.#nft(
          this.#host(name).namespace,
          `table inet qlab { }
          flush table inet qlab
          table inet qlab { chain cuts { type filter hook input priority -300; ${rule} }
          }`,
        );
      }),
    );
  }

  #nft(namespace: string, rules: string): Promise<string> {
    return run('ip', ['netns', 'exec', namespace, 'nft', '-f', '-'], `${rules}\n`);
  }

  #ip(namespace: string, ...commands: readonly string[]): Promise<string> {
    return run('ip', ['-n', namespace, '-batch', '-'], `${commands.join('\n')}\n`);
  }

  #enter(namespace: string): string[] {
    return ['ip', 'netns', 'exec', namespace];
  }

  #host(name: string): MutableHost {
    const host = this.#hosts.get(name);
    if (host === undefined) throw new Error(`no host ${name} in this laboratory`);
    return host;
  }

  #forward(): Forwarder {
    if (this.#forwarder === undefined) throw new Error('no host of this laboratory is shaped');
    return this.#forwarder;
  }
}

/**
 * An address, and a default route. Without one, a packet for somebody else's private network is an error of the socket that sends
 * it; a TURN server that tries a candidate of its client's peer then drops the client.
 */
function reachable(address: string, device: string): string[] {
  return [`addr add ${address}/24 dev ${device}`, `route add default via ${nowhere.address}`];
}

/** The namespaces of laboratories that exist now; of one process, or of all. */
export function namespaces(pid?: number): string[] {
  const start = pid === undefined ? `${prefix}-` : `${prefix}-${pid}-`;
  try {
    return readdirSync('/run/netns').filter((name) => name.startsWith(start));
  } catch {
    return []; // none was ever made
  }
}

/** Removes what laboratories of dead processes left, should their janitor have been killed too. */
async function sweepDead(): Promise<void> {
  const dead = new Set(
    namespaces()
      .map((name) => Number(name.split('-')[1]))
      .filter((pid) => !alive(pid)),
  );
  for (const pid of dead) await run('sh', ['-c', sweepScript(`${prefix}-${pid}`)]);
}

/** Ends what runs in the namespaces of that name, by process id, and removes them. */
function sweepScript(name: string): string {
  return `for n in /run/netns/${name}-*; do [ -e "$n" ] || continue; n=\${n##*/}; for p in $(ip netns pids "$n"); do kill -9 "$p"; done; ip netns del "$n"; done`;
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
