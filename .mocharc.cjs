const { availableParallelism } = require('node:os');

// One process a core: most of these tests compute, in virtual time.
module.exports = {
  spec: ['build/test/unit/**/*.test.js'],
  'node-option': ['enable-source-maps'],
  'forbid-only': true,
  'check-leaks': true,
  timeout: 20_000,
  parallel: true,
  jobs: Math.max(2, availableParallelism()),
};
