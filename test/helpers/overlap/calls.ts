// What the calls of the two processes may come to, as the modules with the calls say.
import { createRequire } from 'node:module'
import type { Answer } from './overlap-process.js'

export interface OverlapCall {
  /** How it may be rejected because of the other call. */
  readonly codes: readonly string[]
  /** True if it may change whether a volume of the scene is active. */
  readonly changes?: boolean
  /** Id of the volume that it deletes. */
  readonly deletes?: number
  /** True if it holds the exclusive lock of the pool while it reads. */
  readonly exclusive?: boolean
  /** The layers that it makes and removes if it succeeds. */
  readonly makes?: readonly string[]
  readonly removes?: readonly string[]
  /** True if it removes whatever is not needed. */
  readonly prunes?: boolean
}

/** A call, and what it came to. */
export interface Ended {
  readonly call: string
  readonly answer: Answer
}

type Groups = Record<string, Record<string, OverlapCall>>

/** Returns the calls of a module beside this one, by group and name. Here they are not made, and need no library. */
export function callsOf(file: string): Groups {
  const make = createRequire(__filename)(`./${file}`) as (library: object) => { readonly groups: Groups }
  return make({}).groups
}
