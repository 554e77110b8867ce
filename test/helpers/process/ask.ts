// The set-up is plain ES modules, since it runs before anything is installed: each question is asked in a fresh node.
import { execFileSync } from 'node:child_process'
import path from 'node:path'

/** The limit of a test does not end a program that it waits for without its event loop. */
const LIMIT_MS = 240_000

/**
 * What `body` returns, the inside of an async function in which `m` is the module, a path below test/tools; `{ error }` with
 * the message if it throws.
 */
export function ask(module: string, body: string, env: Record<string, string> = {}): unknown {
  const url = path.join(__dirname, '../../tools', module)
  const script = `import * as m from ${JSON.stringify(url)}
    const answer = await (async () => { ${body} })().catch(error => ({ error: error.message }))
    console.log(JSON.stringify(answer))`
  const limit = { timeout: LIMIT_MS, killSignal: 'SIGKILL' } as const
  const options = { encoding: 'utf8', env: { ...process.env, ...env }, ...limit } as const
  return JSON.parse(execFileSync(process.execPath, ['--input-type=module', '-e', script], options))
}
