import { expect } from 'chai';
import { QuorateError } from '../../../../lib/errors.js';
import { parseOptions, usage } from '../../../soak/options.js';

function refuses(args: string[], ...words: string[]): void {
  let error: unknown;
  try {
    parseOptions(args);
  } catch (thrown) {
    error = thrown;
  }
  expect(error, args.join(' ')).to.be.instanceOf(QuorateError);
  const { code, message } = error as QuorateError;
  expect(code).to.equal('ERR_CONFIG');
  for (const word of words) expect(message).to.include(word);
}

describe('soak: options', () => {
  it('has defaults', () => {
    const options = parseOptions([]);
    expect(options).to.include({
      seeds: 100,
      from: 0,
      minutes: Infinity,
      failures: 3,
      hangSeconds: 120,
      all: false,
    });
    expect(options.jobs).to.be.at.least(1);
    expect(options.nodes).to.equal(undefined);
    expect(options.kinds).to.equal(undefined);
  });

  it('reads all of them', () => {
    const args = '--seeds 5 --from 7 --minutes 0.5 --nodes a,b,c --kinds crash,bad-way,one-way-cut --jobs 2';
    const options = parseOptions([
      ...args.split(' '),
      '--json',
      'x.json',
      '--failures',
      '1',
      '--trace-events',
      '9',
    ]);
    expect(options).to.deep.include({
      seeds: 5,
      from: 7,
      minutes: 0.5,
      nodes: ['a', 'b', 'c'],
      kinds: ['crash', 'bad way', 'one-way cut'],
      jobs: 2,
      json: 'x.json',
      failures: 1,
      traceEvents: 9,
    });
  });

  it('is bounded by time alone when only the time is given', () => {
    expect(parseOptions(['--minutes', '1'])).to.include({ seeds: Infinity, minutes: 1 });
  });

  it('goes on for ever with --keep-going, and without faults with none', () => {
    expect(parseOptions(['--keep-going']).failures).to.equal(Infinity);
    expect(parseOptions(['--kinds', 'none']).kinds).to.deep.equal([]);
  });

  it('replays', () => {
    expect(parseOptions(['--seed', '0', '--all'])).to.include({ seed: 0, all: true });
    expect(parseOptions(['--plan', 'p.json'])).to.include({ plan: 'p.json', seed: undefined });
  });

  it('refuses values out of range, naming the option and the range', () => {
    refuses(['--seeds', '0'], '--seeds', '1 to 1000000000', 'got 0');
    refuses(['--seeds', '1.5'], '--seeds', 'an integer');
    refuses(['--seeds', ''], '--seeds', 'from 1 to');
    refuses(['--from', ' '], '--from', 'from 0 to');
    refuses(['--seeds=-1'], '--seeds', 'got -1');
    refuses(['--from', 'x'], '--from', 'from 0 to', '"x"');
    refuses(['--minutes', '0'], '--minutes', 'above 0');
    refuses(['--minutes', '10081'], '--minutes', '10080');
    refuses(['--jobs', '257'], '--jobs', 'from 1 to 256');
    refuses(['--trace-events', '0'], '--trace-events', 'from 1 to 10000000');
    refuses(['--minimise-seconds', '86401'], '--minimise-seconds');
    refuses(['--from', '9007199254740991', '--seeds', '5'], '--from', '2^53');
  });

  it('refuses nodes and kinds that cannot be', () => {
    refuses(['--nodes', 'a,a'], '--nodes', 'repeated');
    refuses(['--nodes', 'a,,b'], '--nodes');
    refuses(['--nodes', Array.from({ length: 64 }, (_, i) => `n${i}`).join(',')], '--nodes', '1 to 63');
    refuses(['--kinds', 'crash,lightning'], '--kinds', 'lightning', 'one-way-partition');
  });

  it('refuses what it does not know, and what contradicts itself', () => {
    refuses(['--sedes', '1'], '--sedes', '--help');
    refuses(['7'], '7', '--help');
    refuses(['--seeds'], '--seeds');
    refuses(['--keep-going', '--failures', '2'], '--keep-going', '--failures');
    refuses(['--seed', '1', '--seeds', '2'], '--seeds', '--seed');
    refuses(['--plan', 'x', '--minutes', '2'], '--minutes', '--plan');
  });

  it('explains every option', () => {
    for (const name of ['seeds', 'from', 'minutes', 'nodes', 'kinds', 'jobs', 'json', 'seed', 'plan', 'all'])
      expect(usage).to.include(`--${name}`);
  });
});
