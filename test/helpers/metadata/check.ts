// thin_check of what a test leaves, beside the tests that follow: it takes half a second, most of which it sleeps.
import { outcomeLater } from '../process/spawner.js'

const running: Promise<string[]>[] = []

/** Starts the check of a metadata file that nobody uses any more, and calls `then` when it is done with it. */
export function checkLater(file: string, options: readonly string[], then: () => void): void {
  const test = expect.getState().currentTestName ?? 'before any test'
  running.push(
    outcomeLater('thin_check', [...options, file]).then(({ status, stdout, stderr }) => {
      then()
      const said = [stderr, stdout].map(String).find(text => text !== '')
      return status === 0 ? [] : [`metadata after "${test}": ${said ?? `ended with ${status}`}`]
    }),
  )
}

/** What the checks since the last call found: nothing, if all is well. */
export const checkFindings = async (): Promise<string[]> => (await Promise.all(running.splice(0))).flat()
