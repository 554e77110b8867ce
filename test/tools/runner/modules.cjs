// Stands for the library and the helpers of the tests as one file. In jest, test/tools/runner/one-file.cjs replaces this text
// by them. A program outside of jest that needs an internal module of the library gets it from the same file, as it was
// compiled for guests: `require(THIS)('lib/FOLDER/FILE.ts')`. The public classes of such a program come from dist/.
'use strict'

const { readFileSync } = require('node:fs')
const { join } = require('node:path')

const { code } = JSON.parse(readFileSync(join(__dirname, '../../../.cache/one-file.json'), 'utf8'))
const own = /** @type {any} */ (module)
own._compile(code, __filename)
