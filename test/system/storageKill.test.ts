/** Kill -9 of a real process that writes to real files, again and again. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';

const CHILD = fileURLToPath(new URL('./storageKillChild.js', import.meta.url));
const KILLS = 32;

interface Life {
  /** Steps and reign that it found; undefined when it was killed before it had looked. */
  readonly found: { readonly steps: number; readonly reign: number } | undefined;
  /** The last step that it acknowledged. */
  readonly acknowledged: number;
  readonly complaints: string;
  readonly code: number | null;
}

/** When a process is killed: some milliseconds after its start, or after so many acknowledgements. */
interface When {
  readonly acknowledgements?: number;
  readonly ms: number;
}

async function live(directory: string, sync: string, { acknowledgements, ms }: When): Promise<Life> {
  const child = spawn(process.execPath, [CHILD, directory, sync], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const kill = (): void => void child.kill('SIGKILL');
  let timer: NodeJS.Timeout | undefined;
  if (acknowledgements === undefined) timer = setTimeout(kill, ms);
  let count = 0;
  let found: Life['found'];
  let acknowledged = 0;
  let complaints = '';
  let rest = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop()!;
    for (const line of lines) {
      const [word, steps, reign] = line.split(' ');
      if (word === 'open') {
        found = { steps: Number(steps), reign: Number(reign) };
      } else {
        acknowledged = Number(word);
        if (++count === acknowledgements) timer = setTimeout(kill, ms);
      }
    }
  });
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (complaints += chunk));
  const [code] = (await once(child, 'close')) as [number | null];
  clearTimeout(timer);
  return { found, acknowledged, complaints, code };
}

describe('storage: kill -9', function () {
  this.timeout(240_000);
  let directory: string;
  beforeEach(async () => (directory = await mkdtemp(join(tmpdir(), 'quorate-kill-'))));
  afterEach(() => rm(directory, { recursive: true, force: true }));

  for (const sync of ['fdatasync', 'dsync'] as const) {
    it(`loses nothing acknowledged and keeps every vote through ${KILLS / 2} kills: ${sync}`, async () => {
      const data = join(directory, 'nested', 'data');
      let acknowledged = 0;
      let seen = { steps: 0, reign: 0 };
      let openings = 0;
      for (let kill = 1; kill <= KILLS / 2; kill++) {
        // Every third is killed at a time at which it may still be starting, or opening.
        const when =
          kill % 3 === 0
            ? { ms: 60 + Math.random() * 120 }
            : { acknowledgements: 12 + Math.floor(Math.random() * 30), ms: Math.random() * 10 };
        const life = await live(data, sync, when);
        const context = `kill ${kill}, ${JSON.stringify(when)}`;
        expect(life.complaints, context).to.equal('');
        expect(life.code, context).to.equal(null);
        if (life.found === undefined) continue;
        openings++;
        expect(life.found.steps, `${context}: steps found`).to.be.at.least(acknowledged);
        expect(life.found.reign, `${context}: reign found`).to.be.at.least(seen.reign);
        seen = life.found;
        // What was found counts, too: it must not go away again.
        acknowledged = Math.max(life.acknowledged, life.found.steps);
      }
      expect(openings).to.be.at.least(11);
      expect(acknowledged).to.be.at.least(120);
      expect(await readdir(join(data, 'log')), 'segments come and go').not.to.include('000000000001.seg');
      const last = await live(data, sync, { acknowledgements: 1, ms: 0 });
      expect(last.complaints).to.equal('');
      expect(last.found!.steps).to.be.at.least(acknowledged);
    });
  }
});
