/**
 * Suites that a transport or a storage of your own has to pass.
 *
 * @packageDocumentation
 */
export { testStorage, type StorageFixture, type StorageSubject, type TestFramework } from './storage.js';
