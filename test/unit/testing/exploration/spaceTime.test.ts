import { expect } from 'chai';
import { QuorateError } from '../../../../lib/errors.js';
import { planRun } from '../../../../lib/testing/exploration/plan.js';
import { runPlan } from '../../../../lib/testing/exploration/runPlan.js';
import { spaceTime, type SpaceTimeOptions } from '../../../../lib/testing/exploration/spaceTime.js';
import { describeMessage } from '../../../../lib/testing/exploration/tap.js';
import type { RaftMessage } from '../../../../lib/consensus/raft/messages.js';
import type { TraceEvent } from '../../../../lib/testing/simulation/trace.js';
import { acknowledgesEarly } from './support/broken.js';

const event = (time: number, node: string, kind: string, detail = ''): TraceEvent => ({
  time,
  node,
  kind,
  detail,
});

const nodes = ['a', 'b', 'c'];
const violation = { invariant: 'election safety', node: 'b', time: 1000, message: 'a and b both lead in 3' };
const trace = [
  event(0, 'a', 'start', 'life 1 rate 1.0000'),
  event(0, 'b', 'start', 'life 1 rate 1.0000'),
  event(0, 'c', 'start', 'life 1 rate 1.0000'),
  event(1, 'a', 'up', 'applied 0'),
  event(2, 'b', 'up', 'applied 0'),
  event(50, 'b', 'deliver', 'a>b control 1 400 77'),
  event(60, 'a', 'leader', 'epoch 1 leader a last 1'),
  event(61, 'a', 'leader', 'epoch 1 leader a last 2'),
  event(100, '', 'cut', 'a c'),
  event(100, '', 'cut', 'a>c'),
  event(100, '', 'cut', 'c>a'),
  event(120, '', 'heal', 'a>c'),
  event(120, '', 'heal', 'c>a'),
  event(130, '', 'pause', 'c 900'),
  event(200, 'c', 'disk write', 'log/1.seg 0+128 ENOSPC'),
  event(210, 'c', 'disk sync', 'log/1.seg'),
  event(300, 'b', 'power loss'),
  event(300, 'b', 'disk crash', '128 kept 0 lost 2 zeroed 0 garbage 0'),
  event(310, 'c', 'failed', 'a message that is rather too long to fit into the column of its node'),
  event(940, 'b', 'start', 'life 2 rate 1.0000'),
  event(950, 'c', 'deliver', 'a>c control 1 300 77'),
  event(955, 'c', 'deliver', 'a>c bulk 2 5000 78'),
  event(960, 'a', 'deliver', 'c>a control 1 14 79'),
  event(965, 'a', 'deliver', 'c>a control 1 222 79'),
  event(980, 'a', 'disk sync', 'log/1.seg'),
  event(1000, 'b', 'VIOLATION', 'election safety: a and b both lead in 3'),
];
const draw = (options: SpaceTimeOptions = {}): string[] =>
  spaceTime({ nodes, trace, violation }, options).split('\n');

describe('exploration: space-time diagrams', () => {
  const lines = draw();
  const at = (time: string): string[] => lines.filter((line) => line.slice(0, 11).trim() === time);

  it('has a column for each node, and the time', () => {
    expect(lines[0]).to.match(/^ virtual ms {2}a +b +c$/);
    const x = nodes.map((id) => lines[0]!.indexOf(id, 12));
    expect(Array.from(at('1.000')[0]!)[x[0]!]).to.equal('●');
    expect(Array.from(at('2.000')[0]!)[x[1]!]).to.equal('●');
    expect(Array.from(at('2.000')[0]!)[x[2]!]).to.equal('┊');
  });

  it('shows what stands out, once', () => {
    expect(at('60.000')[0]).to.include('★ LEADS in 1');
    expect(at('61.000')).to.deep.equal([]);
    expect(at('300.000')[0]).to.include('✗ POWER LOSS');
    expect(at('300.000')[1]).to.include('lost 2');
    expect(at('200.000')[0]).to.include('ENOSPC');
  });

  it('shows faults across all columns, those of one moment as one', () => {
    expect(at('100.000')).to.have.length(1);
    expect(at('100.000')[0]).to.match(/─ cut a c ─+$/);
    expect(at('120.000')[0]).to.match(/─ heal a–c ─+$/);
  });

  it('shows messages near the violation, as arrows from sender to receiver', () => {
    expect(at('50.000')).to.deep.equal([]);
    expect(at('950.000')[0]).to.match(/┃─ 300 B ─+┼─+▶/);
    expect(at('950.000')[0]).to.not.include('◀');
    expect(at('955.000')[0]).to.match(/┃─ bulk 5000 B in 2 ─+┼─+▶/);
    expect(at('965.000')[0]).to.match(/◀[─┼]+ 222 B ─/);
    expect(at('210.000')).to.deep.equal([]);
    expect(at('980.000')[0]).to.include('▪ sync');
  });

  it('leaves out heartbeats and says how much it left out', () => {
    expect(at('960.000')).to.deep.equal([]);
    expect(lines.filter((line) => line.includes('⋮')).join()).to.match(/1 flush/);
  });

  it('shows how the nodes stand: who leads, pauses, failed, is down', () => {
    const x = nodes.map((id) => lines[0]!.indexOf(id, 12));
    const arrived = Array.from(at('965.000')[0]!);
    expect(arrived[x[0]!]).to.equal('┃');
    expect(arrived[x[1]!]).to.equal('┼');
    expect(Array.from(at('200.000')[0]!)[x[1]!]).to.equal('│');
    expect(Array.from(at('980.000')[0]!)[x[2]!]).to.equal('░');
  });

  it('says at length what does not fit, and the violation last', () => {
    expect(lines.join('\n')).to.include('too long to fit into the column of its node');
    expect(lines.at(-2)).to.match(/1000\.000 ━━ VIOLATION at b ━+/);
    expect(lines.at(-1)).to.include('election safety: a and b both lead in 3');
  });

  it('shows everything when asked to', () => {
    const all = draw({ all: true });
    for (const time of ['50.000', '210.000', '960.000', '955.000'])
      expect(
        all.some((line) => line.slice(0, 11).trim() === time),
        time,
      ).to.equal(true);
    expect(all.some((line) => line.includes('⋮'))).to.equal(false);
  });

  it('has colours only when asked for them', () => {
    expect(lines.join('')).to.not.include('\x1b');
    const coloured = draw({ colours: true }).join('\n');
    expect(coloured).to.include('\x1b[1;97;41m');
    // eslint-disable-next-line no-control-regex -- the escape sequences are what is taken out
    expect(coloured.replace(/\x1b\[[\d;]*m/g, '')).to.equal(lines.join('\n'));
  });

  it('never exceeds its width, nor its number of lines', () => {
    for (const width of [60, 80, 118])
      for (const line of draw({ width, all: true })) expect(Array.from(line).length).to.be.at.most(width);
    const few = draw({ maxLines: 3 });
    expect(few).to.have.length(5);
    expect(few[1]).to.match(/… \d+ lines before this/);
  });

  it('refuses wrong measures', () => {
    for (const options of [{ width: 10 }, { aroundMs: -1 }, { maxLines: 0 }])
      expect(() => draw(options)).to.throw(QuorateError, Object.keys(options)[0]);
  });

  it('draws a real run of a broken protocol', async function () {
    this.timeout(60_000);
    const plan = { ...planRun(0), founders: undefined, faults: [] };
    const outcome = await runPlan(plan, { consensus: acknowledgesEarly(), traceEvents: 100_000 });
    const text = spaceTime({ nodes: plan.nodes, ...outcome });
    expect(text).to.match(/VIOLATION at \w ━/);
    expect(text).to.include(outcome.violation!.message.slice(0, 60));
    expect(text).to.include('candidate in');
    expect(text.split('\n').length).to.be.below(450);
  });

  it('draws nothing of nothing', () => {
    expect(spaceTime({ nodes, trace: [] }).split('\n')).to.have.length(1);
  });
});

describe('exploration: what messages say', () => {
  const epoch = { config: 0, n: 2, priority: 0, node: 'a' };
  const entry = { index: 5, count: 3, epoch, time: 0, kind: 'user', data: new Uint8Array(1) } as const;
  const said: [RaftMessage, string][] = [
    [
      {
        type: 'vote',
        pre: true,
        term: 4,
        lastIndex: 9,
        lastTerm: 3,
        genesis: '',
        recorded: '',
        transfer: false,
      },
      'prevote? t4 log 9@3',
    ],
    [{ type: 'voteReply', pre: false, granted: true, term: 4, genesis: '' }, 'vote yes t4'],
    [
      { type: 'append', term: 4, prevIndex: 4, prevEpoch: epoch, entries: [entry], commit: 2 },
      'append 5–7@2 t4 commit 2',
    ],
    [
      { type: 'append', term: 4, prevIndex: 4, prevEpoch: epoch, entries: [], commit: 2 },
      'append nothing after 4 t4 commit 2',
    ],
    [{ type: 'heartbeat', term: 4, commit: 2, round: 1, genesis: '', promiseMs: 0 }, 'heartbeat t4 commit 2'],
    [{ type: 'ack', term: 4, matched: 6, round: 0, promised: false, conflict: undefined }, 'ack 6 t4'],
    [
      {
        type: 'ack',
        term: 4,
        matched: 0,
        round: 0,
        promised: false,
        conflict: { prevIndex: 8, index: 7, epoch },
      },
      'ack 0 conflict at 8 t4',
    ],
    [{ type: 'readReply', batch: 3, index: 0 }, 'read ask again'],
    [{ type: 'timeoutNow', term: 4 }, 'time-out now t4'],
    [{ type: 'quiet', term: 4, index: 7, attempt: 1, begins: false }, 'quiet? at 7 t4'],
    [{ type: 'quiet', term: 4, index: 7, attempt: 1, begins: true }, 'quiet at 7 t4'],
    [{ type: 'quietReply', term: 4, attempt: 1, ok: true }, 'quiet yes t4'],
    [{ type: 'wake', term: 4 }, 'wake t4'],
  ];
  for (const [message, text] of said)
    it(text, () => {
      expect(describeMessage(message)).to.equal(text);
    });

  it('stands on the arrows, heartbeats excepted', () => {
    const heard = [
      event(990, 'b', 'message', 'a>b append 5@1 t1 commit 4'),
      event(990, 'b', 'deliver', 'a>b control 1 400 77'),
      event(991, 'c', 'message', 'a>c heartbeat t1 commit 4'),
      event(992, 'b', 'commit', '5'),
    ];
    const text = spaceTime({ nodes, trace: [...trace.slice(0, -1), ...heard, trace.at(-1)!], violation });
    expect(text).to.match(/990\.000 .*─ append 5@1 t1 commit 4 ─+▶/);
    expect(text).to.match(/992\.000 .*● commits 5/);
    expect(text).to.not.match(/heartbeat|400 B|300 B/);
  });
});
