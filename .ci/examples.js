// Runs every example that was built, one after another; each has to end by itself, with code 0.
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';

const folder = new URL('../build/examples/', import.meta.url);
const examples = readdirSync(folder).filter((name) => name.endsWith('.js'));
if (examples.length === 0) throw new Error('no examples were built');
for (const name of examples) {
  console.log(`── ${name}`);
  const { status, signal } = spawnSync(process.execPath, [new URL(name, folder).pathname], {
    stdio: 'inherit',
    timeout: 60_000,
  });
  if (status === 0) continue;
  console.error(`${name} ended with ${signal ?? `code ${status}`}`);
  process.exit(1);
}
