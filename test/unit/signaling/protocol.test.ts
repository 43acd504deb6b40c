import { expect } from 'chai';
import fc from 'fast-check';
import { QuorateError } from '../../../lib/errors.js';
import * as protocol from '../../../lib/mesh/signaling/protocol.js';

const name = fc.stringMatching(/^[A-Za-z0-9._:@-]{1,128}$/);

describe('the frames of the rendezvous', () => {
  it('carry what was put in, whatever the payload', () => {
    fc.assert(
      fc.property(name, fc.string({ unit: 'grapheme', maxLength: 300 }), (id, payload) => {
        const sent = protocol.parseClientFrame(protocol.sendFrame(id, payload), false);
        if (sent.type !== 'send') throw new Error(sent.type);
        const relayed = protocol.parseServerFrame(protocol.messageFrame('me', sent.payload), false);
        expect(sent.to).to.equal(id);
        expect(relayed).to.deep.equal({ type: 'message', from: 'me', payload });
      }),
    );
  });

  it('name everybody in frames below the cap', () => {
    const ids = Array.from({ length: 1000 }, (_, i) => String(i).padStart(128, 'n'));
    const frames = protocol.welcomeFrames(ids);
    const named = frames.flatMap((data) => {
      expect(data.length).to.be.at.most(protocol.maxFrameBytes);
      const frame = protocol.parseServerFrame(data, false);
      return frame.type === 'peers' ? frame.ids : [];
    });
    expect(named).to.deep.equal(ids);
    expect(protocol.parseServerFrame(frames.at(-1), false)).to.deep.equal({ type: 'welcome' });
    expect(protocol.welcomeFrames([])).to.have.length(1);
  });

  it('have headers below their cap with the longest names', () => {
    const long = 'n'.repeat(128);
    const hello = protocol.helloFrame({ cluster: long, id: long, incarnation: long });
    expect(hello.length).to.be.at.most(protocol.maxHeaderBytes);
    expect(protocol.parseClientFrame(hello, false)).to.deep.include({ type: 'hello', id: long, version: 1 });
  });

  it('are refused with ERR_SIGNALING, and nothing else, when they are garbage', () => {
    const header = fc.oneof(
      fc.json(),
      fc
        .record(
          {
            type: fc.constantFrom(
              'hello',
              'send',
              'peers',
              'welcome',
              'join',
              'leave',
              'message',
              'refused',
              '__proto__',
            ),
            id: fc.oneof(name, fc.jsonValue()),
            to: fc.oneof(name, fc.jsonValue()),
            from: fc.jsonValue(),
            code: fc.oneof(fc.constant('full'), fc.jsonValue()),
            version: fc.jsonValue(),
          },
          { requiredKeys: [] },
        )
        .map((value) => JSON.stringify(value)),
    );
    const data = fc.oneof(
      fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
      fc.tuple(header, fc.string()).map(([head, body]) => Buffer.from(`${head}\n${body}`)),
    );
    for (const parse of [protocol.parseClientFrame, protocol.parseServerFrame]) {
      fc.assert(
        fc.property(data, fc.boolean(), (bytes, isBinary) => {
          try {
            parse(bytes, isBinary);
          } catch (error) {
            expect(error).to.be.instanceOf(QuorateError);
            expect((error as QuorateError).code).to.equal('ERR_SIGNALING');
          }
        }),
      );
    }
  });

  it('are refused when their parts are out of range', () => {
    const server: [string, Buffer][] = [
      ['bad name', Buffer.from('{"type":"join","id":"a b"}\n')],
      ['long name', Buffer.from(`{"type":"join","id":"${'n'.repeat(129)}"}\n`)],
      ['no name', Buffer.from('{"type":"leave"}\n')],
      ['empty id in a list', Buffer.from('{"type":"peers"}\na  b')],
      ['long list', Buffer.from(`{"type":"peers"}\n${Array(257).fill('a').join(' ')}`)],
      ['unknown code', Buffer.from('{"type":"refused","code":"whim"}\n')],
      ['long payload', Buffer.from(`{"type":"message","from":"a"}\n${'x'.repeat(65_537)}`)],
      ['long header', Buffer.from(`{"type":"welcome"${' '.repeat(1024)}}\n`)],
      ['no line feed', Buffer.from('{"type":"welcome"}')],
      ['array', Buffer.from('[]\n')],
      ['null', Buffer.from('null\n')],
    ];
    for (const [what, data] of server) {
      expect(() => protocol.parseServerFrame(data, false), what).to.throw(QuorateError);
    }
    expect(() => protocol.parseServerFrame(Buffer.from('{"type":"welcome"}\n'), true)).to.throw(QuorateError);
    expect(() => protocol.parseClientFrame(Buffer.from('{"type":"welcome"}\n'), false)).to.throw(
      QuorateError,
    );
    const reason = protocol.parseServerFrame(
      protocol.refusedFrame('full', `\u001b[31m${'x'.repeat(1000)}`),
      false,
    );
    if (reason.type !== 'refused') throw new Error(reason.type);
    expect(reason.reason).to.match(/^ \[31mx{295}$/);
  });
});
