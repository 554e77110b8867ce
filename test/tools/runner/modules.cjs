// Stands for the library and the helpers of the tests as one file: test/tools/runner/one-file.cjs replaces this text by them.
'use strict'

throw new Error('test/tools/runner/modules.cjs is loaded by jest, with the transformer test/tools/runner/one-file.cjs')
