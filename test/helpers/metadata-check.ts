// thin_check of what a test leaves, beside the tests that follow: it takes half a second, most of which it sleeps.
import { execFile } from 'node:child_process'

const running: Promise<string[]>[] = []

/** Starts the check of a metadata file that nobody uses any more, and calls `then` when it is done with it. */
export function checkLater(file: string, options: readonly string[], then: () => void): void {
  const test = expect.getState().currentTestName ?? 'before any test'
  const env = { ...process.env, LC_ALL: 'C', LD_PRELOAD: '' }
  running.push(
    new Promise(done => {
      execFile('thin_check', [...options, file], { env, timeout: 60_000 }, (fault, stdout, stderr) => {
        then()
        done(fault ? [`metadata after "${test}": ${stderr || stdout || fault.message}`] : [])
      })
    }),
  )
}

/** What the checks since the last call found: nothing, if all is well. */
export const checkFindings = async (): Promise<string[]> => (await Promise.all(running.splice(0))).flat()
