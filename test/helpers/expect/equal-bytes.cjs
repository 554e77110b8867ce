// Loaded before each test file: bytes are compared as bytes. jest by itself compares them as objects, property by property,
// which takes a second for a few MiB.
'use strict'

/* global expect */

/**
 * Whether two arrays of bytes are equal; undefined, which leaves the answer to jest, for all other values.
 * @param {unknown} one @param {unknown} other
 */
function equalBytes(one, other) {
  if (!(one instanceof Uint8Array && other instanceof Uint8Array)) return undefined
  return one.constructor === other.constructor ? Buffer.compare(one, other) === 0 : undefined
}

expect.addEqualityTesters([equalBytes])
