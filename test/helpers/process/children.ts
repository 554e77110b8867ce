// A second process that uses the library, as built: for what depends on the process (rights, memory, its own guard).
import { spawn, type ChildProcess } from 'node:child_process'
import { existsSync } from 'node:fs'
import path from 'node:path'

const repository = path.join(__dirname, '../../..')
const library = path.join(repository, 'dist', 'entry', 'index.js')

/**
 * The body of an async function in which `dmThin` is the library. What it returns is printed as JSON; an error as
 * `{ error: { code, errno, message } }`.
 */
export interface Child {
  readonly process: ChildProcess
  readonly result: Promise<unknown>
  /** Resolves when the child prints a line with this text by itself. */
  saw(text: string): Promise<void>
}

export function startChild(body: string, prefix: readonly string[] = []): Child {
  if (!existsSync(library)) throw new Error('the library is not built: npm run build:ts')
  const source = `
    const dmThin = require(${JSON.stringify(library)})
    const run = async () => { ${body} }
    run().then(
      value => console.log('result ' + JSON.stringify({ value })),
      ({ code, errno, message, operation }) => console.log('result ' + JSON.stringify({ error: { code, errno, message, operation } })),
    )`
  const [command = '', ...args] = [...prefix, process.execPath, '-e', source]
  const child = spawn(command, args, { cwd: repository, stdio: ['pipe', 'pipe', 'inherit'] })
  let text = ''
  const waiting = new Map<string, () => void>()
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk
    for (const [wanted, wake] of waiting) if (text.includes(wanted)) wake()
  })
  const result = new Promise<unknown>((fulfil, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => {
      const line = text.split('\n').find(each => each.startsWith('result '))
      if (line) fulfil(JSON.parse(line.slice('result '.length)))
      else reject(new Error(`the child ended with ${code ?? signal} and without a result: ${text}`))
    })
  })
  result.catch(() => {})
  const saw = (wanted: string) =>
    Promise.race([
      result.then(() => {}),
      new Promise<void>(wake => {
        if (text.includes(wanted)) wake()
        else waiting.set(wanted, wake)
      }),
    ])
  return { process: child, result, saw }
}

/** Runs it to its end: `{ value }` or `{ error }`. */
export const runChild = (body: string, prefix: readonly string[] = []): Promise<unknown> =>
  startChild(body, prefix).result
