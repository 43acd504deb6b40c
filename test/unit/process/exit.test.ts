/** A guest that leaves: once all is closed, the process ends by itself. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';

/** From `closed` to the end of the process. It takes milliseconds; a busy machine may need longer. */
const GRACE_MS = 10_000;

interface End {
  readonly code: number | NodeJS.Signals | null;
  readonly lines: string[];
  readonly err: string;
}

describe('a process', function () {
  this.timeout(60_000);
  let directory = '';
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'quorate-exit-'));
  });
  afterEach(() => rm(directory, { recursive: true, force: true }));

  async function run(scenario: string): Promise<End> {
    const file = fileURLToPath(new URL('./child.js', import.meta.url));
    const child = spawn(process.execPath, [file, scenario, directory], { stdio: ['ignore', 'pipe', 'pipe'] });
    const kill = (): void => void child.kill('SIGKILL');
    let limit = setTimeout(kill, 45_000);
    let out = '';
    let err = '';
    child.stderr.on('data', (data: Buffer) => (err += data.toString()));
    child.stdout.on('data', (data: Buffer) => {
      out += data.toString();
      if (!out.endsWith('closed\n')) return;
      clearTimeout(limit);
      limit = setTimeout(kill, GRACE_MS);
    });
    const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
    clearTimeout(limit);
    return { code: code ?? signal, lines: out.split('\n').slice(0, -1), err };
  }

  const cases: [what: string, scenario: string, lines: string[]][] = [
    ['a replica, a mesh and a rendezvous are closed', 'closeBoth', ['2']],
    ['a mesh is closed that a replica lives on', 'closeMesh', ['2', 'closed']],
    ['two meshes that carried a group are closed', 'twoMeshes', ['2', '4', '4', '4']],
    [
      'a mesh is closed while calls wait',
      'closeWhileWaiting',
      ['reset', 'ERR_CLOSED', 'ERR_CLOSED', 'ERR_CLOSED', 'ERR_CLOSED'],
    ],
    ['`await using` has closed what it held', 'dispose', ['2']],
  ];
  for (const [what, scenario, lines] of cases) {
    it(`ends by itself when ${what}`, async () => {
      expect(await run(scenario)).to.deep.equal({ code: 0, lines: [...lines, 'closed'], err: '' });
    });
  }
});
