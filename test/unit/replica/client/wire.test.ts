import { expect } from 'chai';
import fc from 'fast-check';
import { ByteWriter } from '../../../../lib/bytes.js';
import {
  frameOf,
  MAX_CHANGES,
  MAX_MESSAGES,
  readMessages,
  writeMessage,
  type Message,
} from '../../../../lib/replica/client/wire.js';
import { clientMessages } from '../../../fuzz/clientMessages.js';

function read(frame: Uint8Array): Message[] {
  const out: Message[] = [];
  readMessages(frame, (message) => out.push(message) > 0);
  return out;
}

function bytesOf(write: (writer: ByteWriter) => void): Uint8Array {
  const writer = new ByteWriter();
  write(writer);
  return writer.take();
}

function refused(frame: Uint8Array): void {
  expect(() => read(frame))
    .to.throw()
    .with.property('code', 'ERR_CODEC');
}

describe('the wire of clients', () => {
  it('reads what it writes, one by one and all in one frame', () => {
    for (const message of clientMessages()) expect(read(frameOf(message))).to.deep.equal([message]);
    const together = bytesOf((writer) =>
      clientMessages().forEach((message) => writeMessage(writer, message)),
    );
    expect(read(together)).to.deep.equal(clientMessages());
  });

  it('takes no message that is cut off', () => {
    for (const message of clientMessages()) {
      const frame = frameOf(message);
      for (let length = 1; length < frame.length; length++) refused(frame.subarray(0, length));
    }
  });

  it('holds every field to what makes sense', () => {
    refused(Uint8Array.of(99, 1)); // an operation
    refused(frameOf({ op: 'open', channel: 2 ** 33, version: 1, group: 'g' }));
    refused(frameOf({ op: 'open', channel: 1, version: 1, group: 'not a name' }));
    const body = new Uint8Array(3);
    refused(frameOf({ op: 'submit', channel: 1, request: 1, requestId: '', body }));
    refused(frameOf({ op: 'submit', channel: 1, request: 1, requestId: 'x'.repeat(257), body }));
    refused(frameOf({ op: 'submit', channel: 1, request: 2 ** 40, requestId: 'x', body }));
    refused(frameOf({ op: 'query', channel: 1, request: 1, consistency: 'other' as 'local', body }));
    for (const maxLagMs of [0, 2 ** 31])
      refused(frameOf({ op: 'query', channel: 1, request: 1, consistency: { maxLagMs }, body }));
    refused(frameOf({ op: 'changes', channel: 1, request: 1, changes: [] }));
    const reset = { type: 'reset', index: 1 } as const;
    const many = Array.from({ length: MAX_CHANGES + 1 }, () => reset);
    refused(frameOf({ op: 'changes', channel: 1, request: 1, changes: many }));
    const failure = {
      code: 'nonsense' as 'ERR_CODEC',
      fate: undefined,
      message: '',
      reason: undefined,
      data: undefined,
    };
    refused(frameOf({ op: 'failure', channel: 1, request: 1, failure }));
    const standing = { op: 'standing', channel: 1, quorum: true, leader: '', code: '', message: '' } as const;
    refused(frameOf({ ...standing, serving: 'refused' })); // without saying why
    refused(frameOf({ ...standing, serving: 'serving', code: 'ERR_CODEC' }));
    refused(frameOf({ ...standing, serving: 'serving', leader: 'no name' }));
    const time = { type: 'applied', index: 1, time: NaN, origin: 'a', ok: true, command: body } as const;
    refused(frameOf({ op: 'changes', channel: 1, request: 1, changes: [time] }));
  });

  it('caps the messages of a frame', () => {
    const frame = (count: number): Uint8Array => new Uint8Array(count).fill(frameOf({ op: 'here' })[0]!);
    expect(read(frame(MAX_MESSAGES))).to.have.length(MAX_MESSAGES);
    refused(frame(MAX_MESSAGES + 1));
  });

  it('cuts texts to what the other side takes, between characters', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 3000, minLength: 300 }), (message) => {
        const failure = {
          code: 'ERR_TIMEOUT',
          fate: undefined,
          message,
          reason: message,
          data: undefined,
        } as const;
        const [back] = read(frameOf({ op: 'failure', channel: 1, request: 1, failure }));
        expect(back?.op).to.equal('failure');
      }),
      { numRuns: 200 },
    );
  });

  it('throws nothing but ERR_CODEC, whatever comes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          read(bytes);
        } catch (error) {
          expect(error).to.have.property('code', 'ERR_CODEC');
        }
      }),
    );
  });
});
