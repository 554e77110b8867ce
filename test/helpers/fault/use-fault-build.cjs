'use strict'

// The fault project loads the build with fault hooks, whichever build the other projects of the same run load.
const path = require('node:path')

process.env.DM_THIN_PREBUILD ??= path.join(__dirname, '../../../build-fault')
