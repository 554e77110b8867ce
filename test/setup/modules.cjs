// Stands for the library and the helpers of the tests as one file: test/setup/one-file.cjs replaces this text by them.
'use strict'

throw new Error('test/setup/modules.cjs is loaded by jest, with the transformer test/setup/one-file.cjs')
