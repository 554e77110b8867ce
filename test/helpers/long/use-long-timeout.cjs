// Loaded before each long test: a time limit that ends what hangs, where minutes are what a test takes.
'use strict'

/* global jest */

jest.setTimeout(3_600_000)
