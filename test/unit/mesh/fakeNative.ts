import type { Native } from '../../../lib/mesh/webrtc/native.js';

const hash = new Array(32).fill('AB').join(':');
/** A description as short as may be. */
export const sdp = (setup: string): string =>
  [
    'v=0',
    `a=fingerprint:sha-256 ${hash}`,
    `a=setup:${setup}`,
    'a=ice-ufrag:abcd',
    `a=ice-pwd:${'p'.repeat(22)}`,
    '',
  ].join('\r\n');

type Callbacks = Record<string, ((...args: unknown[]) => void) | undefined>;

/** Stands in for native code: remembers calls, and is called back by the test. */
export class FakeNative {
  readonly calls: string[] = [];
  readonly connection: Callbacks = {};
  readonly channel: Callbacks = {};
  signalingState = 'stable';
  refuses = '';

  get native(): Native {
    const { calls, connection, channel } = this;
    const call = (name: string, ...args: unknown[]): void => {
      calls.push([name, ...args].join(' '));
      if (this.refuses === name) throw new Error(`${name} refused`);
    };
    const dataChannel = {
      onOpen: (callback: () => void) => (channel['open'] = callback),
      onClosed: (callback: () => void) => (channel['closed'] = callback),
      onError: (callback: () => void) => (channel['error'] = callback),
      onMessage: (callback: () => void) => (channel['message'] = callback),
      onBufferedAmountLow: (callback: () => void) => (channel['low'] = callback),
      setBufferedAmountLowThreshold: (bytes: number) => call('threshold', bytes),
      sendMessageBinary: (bytes: Uint8Array) => {
        call('send', bytes.length);
        return false;
      },
      bufferedAmount: () => 7,
      maxMessageSize: () => 1000,
      close: () => call('channel.close'),
    };
    const peerConnection = {
      onStateChange: (callback: () => void) => (connection['state'] = callback),
      onLocalDescription: (callback: () => void) => (connection['description'] = callback),
      onLocalCandidate: (callback: () => void) => (connection['candidate'] = callback),
      onDataChannel: (callback: () => void) => (connection['channel'] = callback),
      createDataChannel: (label: string, config: object) => {
        call('createDataChannel', label, JSON.stringify(config));
        return dataChannel;
      },
      setLocalDescription: (type: string) => call('setLocalDescription', type),
      setRemoteDescription: (text: string, type: string) => {
        call('setRemoteDescription', type, /a=setup:\w+/.exec(text)?.[0]);
        if (type === 'offer') this.signalingState = 'have-remote-offer';
      },
      addRemoteCandidate: (text: string) => call('addRemoteCandidate', text.split(' ')[5]),
      signalingState: () => this.signalingState,
      close: () => call('close'),
    };
    return {
      PeerConnection: function () {
        return peerConnection;
      },
      setSctpSettings: () => undefined,
    } as unknown as Native;
  }
}
