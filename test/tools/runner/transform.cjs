// The transformer for jest of tests and of what they load: swc, and before each module constants for the names of the
// language. jest runs tests in a context of node:vm, where to read a name of the global object takes 150 ns, and a
// constant 4. Of the tests that count most, a quarter of the time was for names such as Math and Map.
'use strict'

const { createHash } = require('node:crypto')
const { createContext, runInContext } = require('node:vm')
const { createTransformer } = require('@swc/jest')

/** How a module is compiled, here and into the one file of guests. */
const jsc = /** @type {const} */ ({ target: 'es2022', parser: { syntax: 'typescript' } })
const swc = /** @type {Required<ReturnType<typeof createTransformer>>} */ (createTransformer({ jsc }))

// Fake timers replace Date.
const KEPT = ['Date', 'Infinity', 'NaN']
/** @type {string[]} */
const builtIn = runInContext('Object.getOwnPropertyNames(globalThis)', createContext())
const names = ['Buffer', ...builtIn.filter(name => /^[A-Z]/.test(name) && !KEPT.includes(name))]
/** One line that leaves a module strict, to be followed by the module on the same line. */
const CONSTANTS = `'use strict'; const { ${names.join(', ')} } = globalThis; `

module.exports = {
  CONSTANTS,
  jsc,

  process(text, file, options) {
    const result = swc.process(text.replace(/^#!/, '//'), file, options)
    return { ...result, code: CONSTANTS + result.code }
  },

  getCacheKey(text, file, options) {
    return createHash('sha256')
      .update(CONSTANTS)
      .update(swc.getCacheKey(text, file, options))
      .digest('hex')
  },
}
