/**
 * Suites that a transport or a storage of your own has to pass.
 *
 * @packageDocumentation
 */
export { testStorage, type StorageFixture, type StorageSubject, type TestFramework } from './storage.js';
export { testTransport, type TestRunner, type TransportUnderTest } from './transport.js';
