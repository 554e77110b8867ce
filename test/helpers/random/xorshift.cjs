// Repeatable random choices for the programs of tests that are plain JavaScript; random.ts is for TypeScript.
'use strict'

/** xorshift32. @param {number} seed */
function lotsOf(seed) {
  let state = (seed * 2654435761) >>> 0 || 1
  /** A whole number from 0 to `limit` - 1. @param {number} limit */
  function below(limit) {
    state = (state ^ (state << 13)) >>> 0
    state = (state ^ (state >>> 17)) >>> 0
    state = (state ^ (state << 5)) >>> 0
    return state % limit
  }
  return { below, one: list => list[below(list.length)] }
}

module.exports = { lotsOf }
