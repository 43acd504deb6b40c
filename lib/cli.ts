#!/usr/bin/env node
/** The command line: `quorate signal` serves the rendezvous, `quorate keygen` makes a node's keys. */
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { parseArgs } from 'node:util';
import { QuorateError } from './errors.js';
import { generateIdentity, publicKeyOf } from './mesh/identity.js';
import { serveSignaling } from './mesh/signaling/server.js';
import type { ServeSignalingOptions } from './mesh/signaling/serverOptions.js';

const help = `Usage: quorate signal [options]
       quorate keygen [options]

signal serves the rendezvous where the nodes of a cluster find each other.

  --port <n>       TCP port, 0 to 65535; 0 picks a free one    (default 9000)
  --host <name>    address to listen on                        (default 127.0.0.1)
  --path <path>    path of the address                         (default /)
  --verbose        print a line for each node that comes, goes, or is turned away

keygen makes a node's key pair: the private key goes to standard output as PEM,
the public key, which the other nodes list, to standard error.

  --out <file>     write the private key to a new file that only its owner can read,
                   and print the public key to standard output
  --public <file>  make nothing; print the public key of this private key

  --help           print this
  --version        print the version
`;

const defaultPort = 9000;

/** What the user got wrong: exit code 2, and a pointer to the help. */
class UsageError extends Error {}

async function main(args: string[]): Promise<void> {
  const { values, positionals } = parse(args);
  if (values.help === true) {
    process.stdout.write(help);
  } else if (values.version === true) {
    process.stdout.write(`${version()}\n`);
  } else if (positionals.length === 0) {
    throw new UsageError('a command is missing');
  } else if (positionals.length > 1 && isCommand(positionals[0]!)) {
    throw new UsageError(`${positionals[0]} takes no argument, got "${positionals[1]!}"`);
  } else if (positionals[0] === 'signal') {
    only('signal', values, ['port', 'host', 'path', 'verbose']);
    const { host, path } = values;
    const place = { ...(host === undefined ? {} : { host }), ...(path === undefined ? {} : { path }) };
    await signal({ ...place, port: port(values.port) }, values.verbose === true);
  } else if (positionals[0] === 'keygen') {
    only('keygen', values, ['out', 'public']);
    keygen(values.out, values.public);
  } else {
    throw new UsageError(`there is no command "${positionals[0]!}"`);
  }
}

function isCommand(name: string): boolean {
  return name === 'signal' || name === 'keygen';
}

function only(command: string, values: object, allowed: readonly string[]): void {
  const stray = Object.keys(values).find((name) => !allowed.includes(name));
  if (stray !== undefined) throw new UsageError(`${command} has no option --${stray}`);
}

function parse(args: string[]) {
  try {
    return parseArgs({
      args,
      allowPositionals: true,
      options: {
        port: { type: 'string' },
        host: { type: 'string' },
        path: { type: 'string' },
        verbose: { type: 'boolean' },
        out: { type: 'string' },
        public: { type: 'string' },
        help: { type: 'boolean', short: 'h' },
        version: { type: 'boolean' },
      },
    });
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

function port(text: string | undefined): number {
  if (text === undefined) return defaultPort;
  if (!/^\d{1,5}$/.test(text))
    throw new UsageError(`--port must be an integer from 0 to 65535, got "${text}"`);
  return Number(text);
}

function version(): string {
  // The package's own name, so that it is found from wherever this file was compiled to.
  const { version: found } = createRequire(import.meta.url)('quorate/package.json') as { version: string };
  return found;
}

function keygen(out: string | undefined, existing: string | undefined): void {
  if (existing !== undefined) {
    if (out !== undefined) throw new UsageError('keygen takes --out or --public, not both');
    process.stdout.write(`${publicKeyOf(readFileSync(existing))}\n`);
    return;
  }
  const { publicKey, privateKey } = generateIdentity();
  if (out === undefined) {
    process.stdout.write(privateKey);
    process.stderr.write(`${publicKey}\n`);
  } else {
    writeFileSync(out, privateKey, { mode: 0o600, flag: 'wx' }); // never over a key that is in use
    process.stdout.write(`${publicKey}\n`);
  }
}

async function signal(options: ServeSignalingOptions, verbose: boolean): Promise<void> {
  const server = await serveSignaling(options);
  const print = (line: string): void => void process.stdout.write(`${line}\n`);
  if (verbose) {
    server.on('client:joined', ({ cluster, id, replaced }) =>
      print(`join ${cluster} ${id}${replaced ? ' (replaced an older connection)' : ''}`),
    );
    server.on('client:left', ({ cluster, id }) => print(`leave ${cluster} ${id}`));
    server.on('client:refused', ({ cluster, id, reason }) =>
      print(`refuse ${cluster ?? '-'} ${id ?? '-'}: ${reason}`),
    );
  }
  const stop = (): void => {
    process.off('SIGINT', stop);
    process.off('SIGTERM', stop); // a second signal ends the process at once
    server.close().catch(fail);
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  print(`serving ${server.url}`);
}

function fail(error: unknown): void {
  if (error instanceof UsageError || (error instanceof QuorateError && error.code === 'ERR_CONFIG')) {
    process.stderr.write(`quorate: ${error.message}\nTry: quorate --help\n`);
    process.exitCode = 2;
  } else {
    process.stderr.write(`quorate: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  }
}

main(process.argv.slice(2)).catch(fail);
