// The layer rule of the house: imports run downward only, and never in a circle.
import { existsSync, readFileSync } from 'node:fs';
import { dirname, relative, resolve, sep } from 'node:path';

// A room may import from the rooms listed for it, and from itself.
const base = [
  'errors',
  'files',
  'nodeFiles',
  'environment',
  'bytes',
  'crc',
  'defaults',
  'events',
  'tokenBucket',
  'description',
];
const below = {
  errors: [],
  files: ['errors'],
  nodeFiles: ['errors', 'files'],
  environment: ['errors', 'files', 'nodeFiles'],
  bytes: ['errors'],
  crc: [],
  events: ['errors'],
  tokenBucket: [],
  description: ['errors'],
  threads: ['errors', 'environment'],

  consensus: [],
  defaults: [],
  failure: [...base, 'consensus'],
  storage: [...base, 'consensus'],
  mesh: [...base, 'threads', 'consensus', 'failure'],
  engine: [...base, 'threads', 'consensus', 'mesh', 'storage', 'failure'],
  replica: [...base, 'consensus', 'mesh', 'storage', 'failure', 'engine'],
  machines: [...base, 'replica'],
  worker: [...base, 'threads', 'consensus', 'mesh', 'storage', 'failure', 'engine', 'replica'],
  store: [...base, 'consensus', 'mesh', 'storage', 'failure', 'engine', 'replica', 'machines'],
  transactions: [...base, 'consensus', 'mesh', 'storage', 'failure', 'engine', 'replica', 'machines'],
  observe: [...base],
  testing: [
    ...base,
    'consensus',
    'failure',
    'mesh',
    'storage',
    'engine',
    'replica',
    'machines',
    'store',
    'transactions',
  ],
};

function roomOf(file, root) {
  const parts = relative(root, file).split(sep);
  return parts.length === 1 ? parts[0].replace(/\.ts$/, '') : parts[0];
}

const importPattern = /(?:^|\n)\s*(?:import|export)\s[^'";]*?from\s*'(\.[^']+)'|import\('(\.[^']+)'\)/g;
const typeOnly = /(?:^|\n)\s*(?:import|export)\s+type\s/;
const edges = new Map();

/** The runtime imports of a file: type-only imports vanish, so they cannot make a circle at run time. */
function importsOf(file) {
  const known = edges.get(file);
  if (known) return known;
  const found = [];
  if (existsSync(file)) {
    for (const match of readFileSync(file, 'utf8').matchAll(importPattern)) {
      if (typeOnly.test(match[0])) continue;
      found.push(resolve(dirname(file), (match[1] ?? match[2]).replace(/\.js$/, '.ts')));
    }
  }
  edges.set(file, found);
  return found;
}

function circleThrough(start) {
  const path = [];
  const seen = new Set();
  const walk = (file) => {
    for (const next of importsOf(file)) {
      if (next === start) return [...path, file, start];
      if (seen.has(next)) continue;
      seen.add(next);
      path.push(file);
      const circle = walk(next);
      if (circle) return circle;
      path.pop();
    }
    return undefined;
  };
  return walk(start);
}

export default {
  rules: {
    downward: {
      meta: {
        type: 'problem',
        messages: {
          up: 'Room "{{from}}" must not import from room "{{to}}": imports run downward only.',
          circle: 'Import circle: {{circle}}.',
        },
        schema: [],
      },
      create(context) {
        const root = resolve(context.cwd, 'lib');
        const file = context.filename;
        if (!file.startsWith(root + sep)) return {};
        const from = roomOf(file, root);
        const check = (node) => {
          const source = node.source?.value;
          if (typeof source !== 'string' || !source.startsWith('.')) return;
          const to = roomOf(resolve(dirname(file), source.replace(/\.js$/, '.ts')), root);
          const allowed = below[from];
          if (to !== from && allowed && !allowed.includes(to))
            context.report({ node, messageId: 'up', data: { from, to } });
        };
        return {
          ImportDeclaration: check,
          ExportNamedDeclaration: check,
          ExportAllDeclaration: check,
          'Program:exit'(node) {
            const circle = circleThrough(file);
            if (circle) {
              const names = circle.map((f) => relative(root, f)).join(' → ');
              context.report({ node, messageId: 'circle', data: { circle: names } });
            }
          },
        };
      },
    },
  },
};
