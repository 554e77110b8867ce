'use strict'

// Projects are kinds of test, by what they need. `unit` runs anywhere; `kernel`, `fault`, `contract`, `store`, `examples`,
// `clients` and `races` need root and a kernel with device mapper, and are started inside the guest by `npm test` (see
// test/tools).
// `races` are those that mean something only where two processors run at the same time.
// `long` is not part of `npm test`: `npm run test:long` runs it.
const BEFORE_EACH_FILE = ['<rootDir>/test/helpers/expect/equal-bytes.cjs']
const common = {
  rootDir: __dirname,
  setupFilesAfterEnv: BEFORE_EACH_FILE,
  // All else need not be listed before each run.
  roots: ['<rootDir>/test'],
  testEnvironment: 'node',
  transform: { '^.+\\.m?ts$': '<rootDir>/test/tools/runner/transform.cjs' },
  moduleNameMapper: {
    '^(\\.{1,2}/.*)\\.js$': '$1',
    '^dm-thin$': '<rootDir>/lib/entry/index.ts',
    '^dm-thin/(.*)$': '<rootDir>/lib/entry/$1.ts',
  },
  cacheDirectory: '<rootDir>/.cache/jest',
  modulePathIgnorePatterns: ['<rootDir>/dist', '<rootDir>/build', '<rootDir>/.cache'],
}
const project = (name, extra = {}) => ({
  ...common,
  displayName: name,
  testMatch: [`<rootDir>/test/${name}/**/*.test.ts`],
  ...extra,
})

/** In guests the library and the helpers are one file. */
const oneFile = {
  transform: { '^.+\\.m?ts$|/test/tools/runner/modules\\.cjs$': '<rootDir>/test/tools/runner/one-file.cjs' },
}
const packed = {
  globalSetup: '<rootDir>/test/package/global-setup.ts',
  globalTeardown: '<rootDir>/test/package/global-teardown.ts',
}
const longTime = {
  ...oneFile,
  setupFilesAfterEnv: [...BEFORE_EACH_FILE, '<rootDir>/test/helpers/long/use-long-timeout.cjs'],
}
const faultBuild = { ...oneFile, setupFiles: ['<rootDir>/test/helpers/fault/use-fault-build.cjs'] }

module.exports = {
  // Far beyond what any test takes: it ends what hangs, and must not end what is slow on a busy machine.
  testTimeout: 300_000,
  projects: [
    project('unit'),
    project('package', packed),
    project('kernel', oneFile),
    project('fault', faultBuild),
    project('contract', oneFile),
    project('store', oneFile),
    project('examples', oneFile),
    project('clients', oneFile),
    project('races', oneFile),
    project('runtimes', oneFile),
    project('long', longTime),
  ],
}
