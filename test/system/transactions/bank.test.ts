/**
 * A bank over three groups on four real processes, with data channels and disks, under kill -9 of who drives transactions, of who leads
 * a group, and of both: money is neither made nor lost, nobody stays in doubt, and the history is serializable.
 */
import { expect } from 'chai';
import { checkSerializable, type TransactionRecord } from '../../../lib/testing/index.js';
import { groups, TIMEOUT_MS, TOTAL, type Reply, type Request } from './bankMessages.js';
import { Site, sleep, type Process } from './processes.js';

type Member = Process<Request, Reply>;
const KILLS = 6;
/** The time-out of a transaction, the longest pause between two tries, an election; three times as much on a busy machine. */
const BOUND_MS = 3 * (TIMEOUT_MS + 6250 + 4000);

describe('a bank on real processes', function () {
  this.timeout(240_000);
  let site: Site<Request, Reply>;
  afterEach(() => site.destroy());

  async function figuresOf(member: Member): Promise<Extract<Reply, { type: 'figures' }> | undefined> {
    if (!member.running) return undefined;
    return member.ask({ type: 'figures' }, 'figures').catch(() => undefined);
  }

  it(`keeps its money through ${KILLS} kills`, async () => {
    site = await Site.start<Request, Reply>(
      ['a', 'b', 'c', 'd'],
      new URL('./bankMember.js', import.meta.url),
    );
    const { processes } = site;
    const began = Date.now();
    const stages: string[] = [];
    const stage = (name: string): unknown => stages.push(`${name} ${Date.now() - began} ms`);
    const history = new Map<string, TransactionRecord>();
    const counts: Record<string, number> = {};
    const wrong: string[] = [];
    for (const member of processes)
      member.onReply = (reply) => {
        if (reply.type === 'wrong') wrong.push(reply.message);
        if (reply.type !== 'attempt' && reply.type !== 'over') return;
        // Infinity does not travel.
        const { record } = reply;
        history.set(record.id, record.outcome === 'unknown' ? { ...record, return: Infinity } : record);
        if (reply.type === 'over') counts[reply.why] = (counts[reply.why] ?? 0) + 1;
      };
    await processes[0]!.ask({ type: 'fill' }, 'filled');
    stage('filled');
    for (const member of processes) member.send({ type: 'run', tellers: 1 });
    await sleep(1500);

    const victimsOf = async (turn: number): Promise<Member[]> => {
      const driver = processes[turn % processes.length]!;
      if (turn % 3 === 0) return [driver];
      const group = groups[turn % groups.length]!;
      const all = await Promise.all(processes.map(figuresOf));
      const leader = processes[all.findIndex((figures) => figures?.leads.includes(group) === true)] ?? driver;
      return turn % 3 === 1 ? [leader] : [...new Set([driver, leader])];
    };
    for (let turn = 0; turn < KILLS; turn++) {
      const victims = await victimsOf(turn);
      await Promise.all(victims.map((victim) => victim.kill()));
      await sleep(300 + Math.random() * 900);
      await Promise.all(victims.map((victim) => victim.start()));
      for (const victim of victims) victim.send({ type: 'run', tellers: 1 });
      await sleep(500 + Math.random() * 1000);
    }
    await Promise.all(processes.map((member) => member.ask({ type: 'stop' }, 'stopped')));

    stage('stopped');
    const end = Date.now() + BOUND_MS;
    const open = async (): Promise<number> => {
      const all = await Promise.all(processes.map(figuresOf));
      return all.reduce((sum, figures) => sum + figures!.inDoubt + figures!.unfinished, 0);
    };
    let left: number;
    while ((left = await open()) > 0 && Date.now() < end) await sleep(100);
    expect(left, 'transactions in doubt or unfinished').to.equal(0);
    stage('settled');
    for (const member of processes)
      expect((await member.ask({ type: 'audit' }, 'audited')).total).to.equal(TOTAL);
    expect(wrong).to.deep.equal([]);
    const said = JSON.stringify(counts);
    expect(counts['transfer committed'] ?? 0, said).to.be.greaterThan(20);
    const { anomalies } = checkSerializable([...history.values()]);
    expect(
      anomalies.map(({ message }) => message),
      said,
    ).to.deep.equal([]);

    // The last entry, the end of an audit, has to reach everybody.
    const differing = async (): Promise<string[]> => {
      const all = await Promise.all(processes.map(figuresOf));
      return groups.filter((group) => {
        const digests = all
          .map((figures) => figures!.digests[group])
          .filter((digest) => digest !== undefined);
        return new Set(digests).size !== 1;
      });
    };
    let different: string[];
    while ((different = await differing()).length > 0 && Date.now() < end + BOUND_MS) await sleep(100);
    expect(different, 'groups whose members differ').to.deep.equal([]);
    if (process.env['FIGURES'] !== undefined) console.log(said, history.size, stages.join(', '));
  });
});
