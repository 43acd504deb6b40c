/** What the laboratory needs of a machine, found out by trying, so that tests elsewhere are skipped with the reason. */
import { execFileSync } from 'node:child_process';

/** What a scenario needs beside namespaces: a compiler for the forwarder, a TURN server. */
export type Need = 'cc' | 'turnserver';

const packages: Readonly<Record<string, string>> = {
  ip: 'iproute2',
  nft: 'nftables',
  ethtool: 'ethtool',
  setpriv: 'util-linux',
  cc: 'gcc and libc6-dev',
  turnserver: 'coturn',
};

let basis: string | undefined | null = null;

/** Why scenarios with these needs cannot run here; undefined if they can. */
export function missing(needs: readonly Need[]): string | undefined {
  if (basis === null) basis = missingBasis();
  return basis ?? needs.map(missingProgram).find((why) => why !== undefined);
}

function missingBasis(): string | undefined {
  if (process.platform !== 'linux')
    return `network namespaces are a thing of Linux, this is ${process.platform}`;
  if (process.getuid?.() !== 0) return 'network namespaces need root';
  const program = ['ip', 'nft', 'ethtool', 'setpriv'].map(missingProgram).find((why) => why !== undefined);
  return program ?? missingKernelPart();
}

function missingProgram(name: string): string | undefined {
  try {
    execFileSync('sh', ['-c', `command -v ${name}`], { stdio: 'ignore' });
    // A compiler without headers is none.
    const source = '#include <stdio.h>\n#include <linux/if_packet.h>\n';
    if (name === 'cc')
      execFileSync('cc', ['-fsyntax-only', '-xc', '-'], {
        input: source,
        stdio: ['pipe', 'ignore', 'ignore'],
      });
    return undefined;
  } catch {
    return `no working program "${name}" here (package ${packages[name] ?? name})`;
  }
}

/** Containers often have the programs and not the rights. */
function missingKernelPart(): string | undefined {
  const name = `qlab-${process.pid}-probe`;
  const attempt = (...args: string[]): void =>
    void execFileSync(args[0]!, args.slice(1), { stdio: ['ignore', 'ignore', 'pipe'] });
  try {
    attempt('ip', 'netns', 'add', name);
  } catch (error) {
    return `no network namespace can be made: ${reason(error)}`;
  }
  try {
    attempt('ip', '-n', name, 'link', 'add', 'v0', 'type', 'veth', 'peer', 'name', 'v1');
    attempt('ip', '-n', name, 'link', 'add', 'br0', 'type', 'bridge');
    attempt(
      'ip',
      'netns',
      'exec',
      name,
      'nft',
      'add table inet probe { chain c { type filter hook input priority 0; } ; }',
    );
    return undefined;
  } catch (error) {
    return `this kernel lacks veth, bridge or nftables: ${reason(error)}`;
  } finally {
    attempt('ip', 'netns', 'del', name);
  }
}

function reason(error: unknown): string {
  const { stderr, message } = error as Error & { stderr?: Buffer };
  return (stderr?.toString().trim() ?? '') || message;
}

/** A `describe` that says in its title why it is skipped. */
export function labDescribe(title: string, needs: readonly Need[], body: (this: Mocha.Suite) => void): void {
  const why = missing(needs);
  if (why === undefined) describe(title, body);
  else describe.skip(`${title} (skipped: ${why})`, body);
}
