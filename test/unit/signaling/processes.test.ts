import { expect } from 'chai';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { webSocketSignaling } from '../../../lib/mesh/signaling/webSocket.js';
import { TestHost, until } from './support.js';

class Child {
  readonly process: ChildProcess;
  out = '';
  err = '';

  constructor(file: string, args: string[] = []) {
    const path = fileURLToPath(new URL(file, import.meta.url));
    this.process = spawn(process.execPath, [path, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    this.process.stdout!.on('data', (data: Buffer) => (this.out += data.toString()));
    this.process.stderr!.on('data', (data: Buffer) => (this.err += data.toString()));
  }
  async ended(): Promise<number | NodeJS.Signals> {
    const { exitCode, signalCode } = this.process;
    if (exitCode !== null || signalCode !== null) return signalCode ?? exitCode!;
    const [code, signal] = (await once(this.process, 'close')) as [number | null, NodeJS.Signals | null];
    return signal ?? code!;
  }
}

describe('signalling processes', () => {
  const children: Child[] = [];
  afterEach(() => {
    for (const child of children.splice(0)) child.process.kill('SIGKILL');
  });
  const run = (file: string, ...args: string[]): Child => {
    const child = new Child(file, args);
    children.push(child);
    return child;
  };
  const cli = (...args: string[]): Child => run('../../../lib/cli.js', ...args);

  it('exit by themselves once all is closed', async () => {
    const child = run('./children/exit.js');
    const code = await child.ended();
    expect([code, child.out, child.err]).to.deep.equal([0, 'closed\n', '']);
  });

  describe('quorate', () => {
    it('prints its help and its version', async () => {
      const help = cli('--help');
      expect(await help.ended()).to.equal(0);
      expect(help.out)
        .to.match(/^Usage: quorate signal/)
        .and.to.include('--port');
      const version = cli('--version');
      expect(await version.ended()).to.equal(0);
      expect(version.out).to.match(/^\d+\.\d+\.\d+\S*\n$/);
    });

    it('says what is wrong, with exit code 2', async () => {
      const wrong: [string[], string][] = [
        [[], 'a command is missing'],
        [['serve'], 'no command "serve"'],
        [['signal', 'now'], 'no argument, got "now"'],
        [['signal', '--prot', '1'], "Unknown option '--prot'"],
        [['signal', '--port', 'high'], '--port must be an integer from 0 to 65535, got "high"'],
        [['signal', '--port', '65536'], 'port must be an integer from 0 to 65535, got 65536'],
        [['signal', '--path', 'signal'], 'path must be'],
      ];
      const runs = wrong.map(([args]) => cli(...args));
      for (const [i, child] of runs.entries()) {
        expect(await child.ended(), child.out).to.equal(2);
        expect(child.err).to.include(wrong[i]![1]).and.to.include('quorate --help');
        expect(child.out).to.equal('');
      }
    });

    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      it(`serves, tells who comes and goes, and ends with code 0 on ${signal}`, async () => {
        const child = cli('signal', '--port', '0', '--path', '/here', '--verbose');
        await until('the address', () => child.out.includes('\n'));
        const url = /^serving (ws:\/\/127\.0\.0\.1:\d+\/here)\n$/.exec(child.out)?.[1];
        if (url === undefined) throw new Error(child.out);
        const [a, b] = [new TestHost('a'), new TestHost('b')];
        const sessions = [await webSocketSignaling(url).start(a), await webSocketSignaling(url).start(b)];
        await until('presence', () => a.present.has('b') && b.present.has('a'));
        await sessions[0]!.close();
        await until('the lines', () => child.out.includes('leave test a'));
        child.process.kill(signal);
        const code = await child.ended();
        await sessions[1]!.close();
        expect([code, child.err]).to.deep.equal([0, '']);
        expect(child.out).to.include('join test a\n').and.to.include('join test b\n');
      });
    }

    it('says with exit code 1 that a port is taken', async () => {
      const first = cli('signal', '--port', '0');
      await until('the address', () => first.out.includes('\n'));
      const port = /:(\d+)\//.exec(first.out)![1]!;
      const second = cli('signal', '--port', port);
      expect(await second.ended()).to.equal(1);
      expect(second.err).to.include(`cannot listen on 127.0.0.1 port ${port}`).and.to.include('EADDRINUSE');
    });
  });
});
