// The programs of the package thin-provisioning-tools, the only child processes of pools. They run without a shell. A
// program that is aborted is killed, and has ended when the call rejects.
import { abortError, DmThinError, throwIfAborted } from '../../base/errors.js'

export type ThinTool = 'thin_check' | 'thin_dump' | 'thin_repair' | 'thin_restore'

/** The exit of a program, and what it has printed on both of its outputs. */
export interface ToolResult {
  readonly exitCode: number
  /** The lines of the output. If there is much of it, the first and the last ones. */
  readonly lines: readonly string[]
}

/** The part of the output that is kept at its start, and at its end. A damaged space map yields a line for each block. */
const KEPT_CHARACTERS = 4096
/** The folders of programs of root, which the PATH of a service may lack. */
const ROOT_FOLDERS = ['/usr/sbin', '/sbin']

/**
 * Runs a program on metadata. Rejects with `DM_DEPENDENCY`, `ABORT_ERR`, and with `DM_CHECK_FAILED` or
 * `DM_REPAIR_FAILED` if something ends the program.
 */
export async function runTool(
  tool: ThinTool,
  options: readonly string[],
  device: string,
  signal?: AbortSignal,
): Promise<ToolResult> {
  const { spawn } = await import('node:child_process') // no start of the library loads it
  throwIfAborted(signal)
  const env = { ...process.env, LC_ALL: 'C', PATH: [process.env['PATH'], ...ROOT_FOLDERS].filter(Boolean).join(':') }
  return new Promise((resolve, reject) => {
    const child = spawn(tool, [...options], { env, stdio: ['ignore', 'pipe', 'pipe'] })
    const output = new BoundedText()
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => output.add(String(chunk)))
    const kill = () => void child.kill('SIGKILL')
    signal?.addEventListener('abort', kill)
    let missing: Error | undefined
    child.once('error', fault => (missing = fault))
    child.once('close', (exitCode, killedBy) => {
      signal?.removeEventListener('abort', kill)
      const facts = { operation: tool, device }
      if (missing) reject(notStarted(tool, device, missing))
      else if (exitCode !== null) resolve({ exitCode, lines: output.lines() })
      else if (signal?.aborted) reject(abortError(signal, facts))
      else {
        const code = tool === 'thin_check' ? 'DM_CHECK_FAILED' : 'DM_REPAIR_FAILED'
        reject(new DmThinError(code, `${tool} of ${device} was ended by ${killedBy}: call again`, facts))
      }
    })
  })
}

function notStarted(tool: ThinTool, device: string, cause: NodeJS.ErrnoException): DmThinError {
  const why = cause.code === 'ENOENT' ? 'is not installed' : `cannot be started (${cause.message})`
  const text = `${tool} ${why}: install the package thin-provisioning-tools`
  return new DmThinError('DM_DEPENDENCY', text, { operation: tool, device, cause })
}

/** The start and the end of a text that may be long. */
class BoundedText {
  #start = ''
  #end = ''
  #isCut = false

  add(text: string): void {
    const free = KEPT_CHARACTERS - this.#start.length
    this.#start += text.slice(0, free)
    const all = this.#end + text.slice(Math.max(0, free))
    this.#isCut ||= all.length > KEPT_CHARACTERS
    this.#end = all.slice(-KEPT_CHARACTERS)
  }

  lines(): string[] {
    const text = this.#isCut ? `${this.#start}\n…\n${this.#end}` : this.#start + this.#end
    return text
      .split('\n')
      .map(line => line.trim())
      .filter(line => line !== '')
  }
}
