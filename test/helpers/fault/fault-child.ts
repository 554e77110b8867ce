// A child process that uses the library as built, on the fault build, and is meant to be killed in the middle.
import { spawnSync } from 'node:child_process'
import path from 'node:path'
import type { FaultKind } from './fault.js'

const repository = path.join(__dirname, '../../..')
const LIMIT_MS = 120_000

export interface Kill {
  readonly operation: string
  readonly nth?: number
  readonly kind: Extract<FaultKind, 'kill-before' | 'kill-after'>
}

/**
 * Runs `body`, the inside of an async function with `dmThin` and `armed()`, which arms the kill. Returns when SIGKILL
 * has ended the child, from the inside of the native code; throws when it came to its end in another way.
 */
export function runKilled(body: string, { operation, nth = 1, kind }: Kill): void {
  const source = `
    const dmThin = require(${JSON.stringify(path.join(repository, 'dist', 'entry', 'index.js'))})
    const { loadAddon } = require(${JSON.stringify(path.join(repository, 'test/helpers/native/load-addon.cjs'))})
    const armed = () => loadAddon().setFault(${JSON.stringify(operation)}, ${nth}, ${JSON.stringify(kind)}, 0)
    const run = async () => { ${body} }
    run().then(() => console.log('came to its end'), fault => console.log(fault))`
  const { signal, status, stdout, stderr, error } = spawnSync(process.execPath, ['-e', source], {
    encoding: 'utf8',
    timeout: LIMIT_MS,
    killSignal: 'SIGABRT', // told apart from the kill that is awaited
    env: { ...process.env },
  })
  if (error) throw error
  if (signal !== 'SIGKILL') throw new Error(`${operation} ${nth}: ended with ${signal ?? status}: ${stdout}${stderr}`)
}
