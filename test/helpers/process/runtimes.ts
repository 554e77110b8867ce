// The binaries of each supported Node, which `npm ci` in test/runtimes brings.
import { existsSync } from 'node:fs'
import path from 'node:path'

export function runtimePath(version: string): string {
  const binary = path.join(__dirname, '../../runtimes/node_modules', version, 'bin', 'node')
  if (existsSync(binary)) return binary
  throw new Error(`${binary} is missing: npm ci in test/runtimes brings it; npm test does that by itself`)
}
