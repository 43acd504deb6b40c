/**
 * Makes copies of the compiled library, each with one bug in it. The product itself knows nothing of bugs: there is no switch
 * to leave on by mistake.
 */
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { plant, type Mutant } from './mutant.js';

const here = dirname(fileURLToPath(import.meta.url));

/** The library as it was compiled with this file. */
const compiled = join(here, '..', '..', 'lib');

/** The directory of the project. */
export const root = rootOf(here);

function rootOf(directory: string): string {
  return existsSync(join(directory, 'package.json')) ? directory : rootOf(dirname(directory));
}

/** The source with the bug, as JavaScript. Throws when it does not even parse. */
export function transpile(mutant: Mutant): string {
  return toJavaScript(mutant.file, plant(mutant, readFileSync(join(root, 'lib', mutant.file), 'utf8')));
}

function toJavaScript(file: string, source: string): string {
  const { outputText, diagnostics = [] } = ts.transpileModule(source, {
    fileName: file,
    reportDiagnostics: true,
    compilerOptions: {
      target: ts.ScriptTarget.ES2023,
      module: ts.ModuleKind.ESNext,
      verbatimModuleSyntax: true,
    },
  });
  const [wrong] = diagnostics;
  if (wrong !== undefined)
    throw new Error(`${file}: ${ts.flattenDiagnosticMessageText(wrong.messageText, '\n')}`);
  return outputText;
}

/** The rest of the copy has to fit to what is patched: throws when the source was changed since it was compiled. */
function checkFresh(file: string): void {
  const source = readFileSync(join(root, 'lib', file), 'utf8');
  const old = readFileSync(join(compiled, jsOf(file)), 'utf8').replace(/\/\/# sourceMappingURL=.*\s*$/, '');
  if (toJavaScript(file, source) !== old) throw new Error(`lib/${file} was changed since it was compiled`);
}

function jsOf(file: string): string {
  return file.replace(/\.ts$/, '.js');
}

/** Makes a copy of the library, with the bug if there is one. Returns its `lib` directory. */
export function build(mutant: Mutant | undefined): string {
  const directory = join(root, 'build', 'mutants', slugOf(mutant?.name ?? 'as it is'));
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  const lib = join(directory, 'lib');
  cpSync(compiled, lib, { recursive: true, filter: (path) => !path.endsWith('.map') });
  if (mutant !== undefined) {
    checkFresh(mutant.file);
    writeFileSync(join(lib, jsOf(mutant.file)), transpile(mutant));
  }
  return lib;
}

/** Puts compiled unit tests beside a copy of the library. Returns the path of those under `tests`. */
export function withTests(lib: string, tests: string): string {
  const unit = join(dirname(lib), 'test', 'unit');
  cpSync(join(here, '..', 'unit'), unit, { recursive: true, filter: (path) => !path.endsWith('.map') });
  return join(unit, tests.replace(/\.ts$/, '.js'));
}

/** Removes what {@link build} made. */
export function remove(lib: string): void {
  rmSync(dirname(lib), { recursive: true, force: true });
}

function slugOf(name: string): string {
  return name.toLowerCase().replace(/[^a-z0-9]+/g, '-');
}
