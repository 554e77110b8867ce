// A call of the command line: its output, its abort and its exit code.
import { once } from 'node:events'
import { InvalidArgumentError, type Command } from 'commander'
import { DmThinError } from '../../base/errors.js'
import { parseSize } from '../../base/units.js'
import { EXIT, exitCodeOf } from './exit-codes.js'
import { errorFacts, errorText, jsonText, Progress } from './output.js'

/** The exit codes of a program that was ended by a signal, as in shells: 128 plus the number of the signal. */
const SIGNALS = { SIGINT: EXIT.interrupted, SIGTERM: 143 } as const
const SIGPIPE_EXIT = 141
/** The error codes of an aborted call: that of this library and of Node, and that of a write without a reader. */
const ABORT_CODES: ReadonlySet<string | undefined> = new Set(['ABORT_ERR', 'EPIPE'])

/** A call of the command line. */
export class Call {
  readonly json: boolean
  readonly #abort = new AbortController()

  constructor(json: boolean) {
    this.json = json
  }

  /** The signal that aborts at SIGINT or SIGTERM, or if the reader of the output ends. A second signal ends the process. */
  get signal(): AbortSignal {
    return this.#abort.signal
  }

  abortOnSignals(): void {
    for (const [name, exitCode] of Object.entries(SIGNALS)) process.once(name, () => this.#abort.abort(exitCode))
    process.stdout.on('error', (fault: NodeJS.ErrnoException) => {
      if (fault.code !== 'EPIPE') throw fault
      this.#abort.abort(SIGPIPE_EXIT)
    })
  }

  /** Prints a result: `value` with --json, the text otherwise. */
  print(value: unknown, text: () => string): void {
    const output = this.json ? jsonText(value, 2) : text()
    if (output !== '') process.stdout.write(`${output}\n`)
  }

  /** Prints items as they arrive, one in each line; with --json, as one array. */
  async printEach<T>(items: AsyncIterable<T>, text: (item: T) => string): Promise<void> {
    let before = '['
    for await (const item of items) {
      await this.#write(this.json ? `${before}\n  ${jsonText(item)}` : `${text(item)}\n`)
      before = ','
    }
    if (this.json) await this.#write(before === '[' ? '[]\n' : '\n]\n')
  }

  /** Prints a line for people in addition to the result. */
  note(text: string): void {
    process.stderr.write(`dm-thin: ${text}\n`)
  }

  progress(title: string): Progress {
    return new Progress(process.stderr, title)
  }

  /** Prints an error, and returns its exit code. Does not print an error if the reader of the output has ended. */
  fail(fault: unknown): number {
    const exitCode = this.#exitCodeOf(fault)
    if (exitCode === SIGPIPE_EXIT) return exitCode
    if (this.json) process.stderr.write(`${jsonText({ error: { ...errorFacts(fault), exitCode } }, 2)}\n`)
    else this.note(errorText(fault))
    return exitCode
  }

  #exitCodeOf(fault: unknown): number {
    const isOfAbort = ABORT_CODES.has((fault as NodeJS.ErrnoException).code)
    return isOfAbort && this.signal.aborted ? (this.signal.reason as number) : exitCodeOf(fault)
  }

  async #write(text: string): Promise<void> {
    if (this.signal.aborted) throw new DmThinError('ABORT_ERR', 'the call was aborted')
    if (!process.stdout.write(text)) await once(process.stdout, 'drain', { signal: this.signal })
  }
}

type Body<Options, Args extends unknown[]> = (call: Call, options: Options, ...args: Args) => Promise<number | void>

/** Creates an action of commander. The exit code is the result of `body`, or that of its error. */
export function action<Options, Args extends unknown[]>(body: Body<Options, Args>) {
  return async (...given: unknown[]): Promise<void> => {
    const options = given.at(-2) as Options & { readonly json?: boolean }
    const call = new Call(options.json === true)
    call.abortOnSignals()
    try {
      process.exitCode = (await body(call, options, ...(given.slice(0, -2) as Args))) ?? EXIT.ok
    } catch (fault) {
      process.exitCode = call.fail(fault)
    }
  }
}

/** Adds a command with --json and an example in its help. */
export function subcommand(parent: Command, usage: string, summary: string, example: string): Command {
  return parent
    .command(usage)
    .description(summary)
    .option('--json', 'print JSON')
    .addHelpText('after', `\nExample:\n  ${example}`)
}

/** Parses the size of an option. */
export function size(text: string): number {
  const bytes = parseSize(text)
  if (bytes === undefined) throw new InvalidArgumentError('A size is 10GiB, 512MiB or a number of bytes.')
  return bytes
}

/** Returns an error for a wrong call that commander does not detect. */
export const usageError = (text: string): DmThinError => new DmThinError('DM_INVALID_ARGUMENT', text)

/** Parses a whole number of an option or argument. */
export function count(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError('It must be a whole number.')
  return Number(text)
}

/** Collects thin ids. */
export const ids = (text: string, before: readonly number[] = []): number[] => [...before, count(text)]

/** Collects the values of an option that may be given several times. */
export const each = (text: string, before: readonly string[] = []): string[] => [...before, text]
