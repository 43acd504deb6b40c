/**
 * Writes the figures of the last run into the documentation:
 *
 *   npm run test:system && node build/test/system/net/table.js
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { projectRoot } from './support/forwarder.js';
import { rows, table } from './support/figures.js';

const page = join(projectRoot(), 'docs/network-scenarios.md');
const [begin, end] = ['<!-- table: begin -->', '<!-- table: end -->'];
const text = readFileSync(page, 'utf8');
const from = text.indexOf(begin);
const to = text.indexOf(end);
if (from < 0 || to < from) throw new Error(`${page} has no ${begin} and ${end}`);
const found = rows();
if (found.length === 0) throw new Error('no figures yet: run the scenarios first');
writeFileSync(page, `${text.slice(0, from + begin.length)}\n\n${table(found)}\n\n${text.slice(to)}`);
