/**
 * Suites that a transport or a storage of your own has to pass.
 *
 * @packageDocumentation
 */
export type { TestFramework } from './framework.js';
export { testStorage, type StorageFixture, type StorageSubject } from './storage.js';
export { testTransport, type TransportUnderTest } from './transport.js';
