// The binaries of each supported Node, which `npm ci` in test/runtimes brings.
import { existsSync } from 'node:fs'
import path from 'node:path'
import { isFull } from '../random/sample.js'

/** Of the supported versions of Node: the oldest and the newest, or all if full. */
export const MAJORS: readonly number[] = isFull ? [20, 22, 24, 26] : [20, 26]

/** Their names in test/runtimes/package.json. */
export const RUNTIMES = MAJORS.map(major => `node${major}`)

export function runtimePath(version: string): string {
  const binary = path.join(__dirname, '../../runtimes/node_modules', version, 'bin', 'node')
  if (existsSync(binary)) return binary
  throw new Error(`${binary} is missing: npm ci in test/runtimes brings it; npm test does that by itself`)
}
