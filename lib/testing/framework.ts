/** What the conformance suites need of a test framework. */

/** `describe` and `it` of a test framework: those of mocha, vitest, jest and node:test all do. */
export interface TestFramework {
  /** Groups tests. */
  readonly describe: (name: string, body: () => void) => unknown;
  /** Declares a test. */
  readonly it: (name: string, body: () => Promise<void>) => unknown;
}
