/** The programs in the documentation: what a reader copies has to compile, and the first one has to run as it says. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import ts from 'typescript';

function projectRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package.json'))) folder = dirname(folder);
  return folder;
}

const root = projectRoot();

/** The TypeScript of a page, block by block. */
function blocksOf(page: string): string[] {
  const text = readFileSync(join(root, page), 'utf8');
  return Array.from(text.matchAll(/^```ts\n([\s\S]*?)^```$/gm), (match) => match[1]!);
}

function strip(source: string): string {
  const { outputText, diagnostics } = ts.transpileModule(source, {
    reportDiagnostics: true,
    compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2023 },
  });
  expect(messagesOf(diagnostics ?? []), source).to.deep.equal([]);
  return outputText;
}

function messagesOf(diagnostics: readonly ts.Diagnostic[]): string[] {
  return diagnostics.map((each) => {
    const text = ts.flattenDiagnosticMessageText(each.messageText, '\n');
    if (!each.file) return text;
    const { line } = each.file.getLineAndCharacterOfPosition(each.start ?? 0);
    return `${each.file.text.split('\n')[line]!.trim()}: ${text}`;
  });
}

/** What the compiler says of some files of the folder, under the options of the tests: `quorate` is the sources. */
function typeErrors(folder: string, sources: Readonly<Record<string, string>>): string[] {
  const names = Object.entries(sources).map(([name, source]) => {
    writeFileSync(join(folder, name), source);
    return join(folder, name);
  });
  const file = join(root, 'tsconfig.test.json');
  const { config, error } = ts.readConfigFile(file, (path) => ts.sys.readFile(path)) as {
    config: unknown;
    error?: unknown;
  };
  expect(error).to.equal(undefined);
  const { options } = ts.parseJsonConfigFileContent(config, { ...ts.sys, readDirectory: () => [] }, root);
  const program = ts.createProgram(names, { ...options, noEmit: true });
  return names.flatMap((name) => {
    const source = program.getSourceFile(name);
    return messagesOf([
      ...program.getSyntacticDiagnostics(source),
      ...program.getSemanticDiagnostics(source),
    ]);
  });
}

/** The machine that the guide to simulation tests. */
const RAFFLE = `import { defineMachine } from 'quorate';
export const raffle = () =>
  defineMachine({
    version: 1,
    initial: () => ({ tickets: [] as string[], winners: [] as string[] }),
    commands: {
      enter: (state, { name }: { name: string }) => state.tickets.push(name),
      draw: (state) => state.tickets.pop(),
    },
    queries: { winners: (state) => state.winners },
  });
`;

async function run(file: string): Promise<{ code: unknown; out: string; err: string }> {
  const child = spawn(process.execPath, [file], { stdio: ['ignore', 'pipe', 'pipe'] });
  const limit = setTimeout(() => child.kill('SIGKILL'), 30_000);
  let out = '';
  let err = '';
  child.stdout.on('data', (data: Buffer) => (out += data.toString()));
  child.stderr.on('data', (data: Buffer) => (err += data.toString()));
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null];
  clearTimeout(limit);
  return { code: code ?? signal, out, err };
}

describe('the documentation', () => {
  const readme = blocksOf('README.md');
  const guide = blocksOf('docs/getting-started.md');
  const simulation = blocksOf('docs/simulation.md');
  let folder = '';
  before(() => {
    // Inside the project, so that `quorate` is found as what it is: this package.
    mkdirSync(join(root, 'build'), { recursive: true });
    folder = mkdtempSync(join(root, 'build', 'readme-'));
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  it('has programs', () => {
    expect(readme).to.have.lengthOf(3);
    expect(guide).to.have.lengthOf(5);
    expect(simulation).to.have.lengthOf(4);
    for (const block of [...readme, ...guide, ...simulation]) strip(block);
  });

  it('begins with an example that runs as it stands, and ends by itself', async function () {
    this.timeout(60_000);
    const file = join(folder, 'first.mjs');
    writeFileSync(file, strip(readme[0]!));
    expect(await run(file)).to.deep.equal({ code: 0, out: '2\n4\n6\n6\n', err: '' });
  });

  it('has the types that it claims', function () {
    this.timeout(120_000);
    const [inventory, ...steps] = guide as [string, ...string[]];
    const app =
      'declare function render(count: number): void;\n' +
      // The steps of the guide are one program, in their order.
      steps.join('\n');
    const first = readme[0]! + 'export const total: number = await replicas[0]!.query({ op: "total" });\n';
    const [test, byHand, relayed, judged] = simulation as [string, string, string, string];
    const raffle = "import { raffle } from './raffle.js';\n";
    expect(
      typeErrors(folder, {
        'raffle.ts': RAFFLE,
        'simulated.test.ts': test,
        'byHand.ts': `${raffle}${byHand}\n${judged}`,
        'relayed.ts': `import { createSimulation } from 'quorate/testing';\n${relayed}`,
        'third.ts': readme[2]!,
        'first.ts': first,
        'second.ts': readme[1]!,
        'inventory.ts': inventory,
        'app.ts': app,
      }),
    ).to.deep.equal([]);
  });

  it('would be caught with a wrong type', function () {
    this.timeout(120_000);
    const wrong = `${readme[0]!}\nawait replicas[0]!.submit({ op: 'add', by: 'two' });\n`;
    const found = typeErrors(folder, { 'wrong.ts': wrong });
    expect(found).to.have.lengthOf(1);
    expect(found[0]).to.include("by: 'two'");
  });
});
