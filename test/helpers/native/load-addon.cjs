// The addon, in a program outside of jest: the same object that the library in dist/ calls.
'use strict'

const path = require('node:path')
const load = require('node-gyp-build')

exports.loadAddon = () => load(path.join(__dirname, '../../..'))
