// Programs that a small shell starts for the process that runs the tests of a guest: the same outcomes as without it.
import { readdirSync, rmSync } from 'node:fs'
import { outcomeLater, outcomeOf, type Outcome } from '../../helpers/process/spawner.js'

const { startSpawner } = jest.requireActual<{ startSpawner: () => void }>('../../tools/runner/spawner.cjs')
const PLACE = 'DM_THIN_SPAWNER'

/** Runs `body` without a spawner, then with one of its own. */
async function bothWays<T>(body: () => T | Promise<T>): Promise<[without: T, within: T]> {
  const before = process.env[PLACE]
  delete process.env[PLACE]
  const without = await body()
  startSpawner()
  const { folder } = JSON.parse(process.env[PLACE]!) as { folder: string }
  try {
    return [without, await body()]
  } finally {
    rmSync(folder, { recursive: true }) // the spawner does it at the exit of its process, which jest hides from tests
    if (before === undefined) delete process.env[PLACE]
    else process.env[PLACE] = before
  }
}

const text = ({ status, stdout, stderr }: Outcome) => [status, stdout.toString('latin1'), stderr.toString('latin1')]

const PROGRAMS: Readonly<Record<string, [command: string, args: string[], input?: Buffer]>> = {
  'words with quotes, blanks and ends of lines': ['printf', ['%s|', "it's", '"$HOME"', 'a  b', 'two\nlines', '']],
  'an exit status, and both outputs': ['sh', ['-c', 'echo out; echo err >&2; exit 7']],
  'an input of any bytes, larger than a pipe': ['od', ['-An', '-tx1', '-v'], Buffer.from([...Array(70_000).keys()])],
  'no input': ['cat', []],
  'a locale of its own': ['sh', ['-c', 'echo $LC_ALL']],
  'arguments larger than a pipe': ['printf', ['%s', 'x'.repeat(100_000)]],
}

test.each(Object.keys(PROGRAMS))('a program has the same outcome with and without the spawner: %s', async what => {
  const [command, args, input] = PROGRAMS[what]!
  const [without, within] = await bothWays(() => text(outcomeOf(command, args, input)))
  expect(within).toEqual(without)
  expect(without[0]).not.toBeNull()
})

test('a program that does not exist throws, and the next one runs', async () => {
  const [without, within] = await bothWays(() => {
    expect(() => outcomeOf('no-such-program', [])).toThrow(/no-such-program/)
    return text(outcomeOf('echo', ['next']))
  })
  expect(within).toEqual(without)
})

test('concurrent programs end in any order, each with its own output', async () => {
  const run = async (word: string) => text(await outcomeLater('sh', ['-c', `echo ${word}; exit ${word.length}`]))
  const [without, within] = await bothWays(() => Promise.all(['a', 'bb', 'ccc'].map(run)))
  expect(within).toEqual(without)
  expect(within).toEqual([
    [1, 'a\n', ''],
    [2, 'bb\n', ''],
    [3, 'ccc\n', ''],
  ])
})

test('a program that exceeds its time is killed with the shell, and the next one runs without the shell', async () => {
  await bothWays(() => {
    expect(() => outcomeOf('sleep', ['60'], undefined, 200)).toThrow(/sleep|ETIMEDOUT/)
    expect(text(outcomeOf('echo', ['next']))).toEqual([0, 'next\n', ''])
  })
})

test('the spawner keeps only the output of the last program', async () => {
  await bothWays(async () => {
    await outcomeLater('true', [])
    const place = process.env[PLACE]
    if (place === undefined) return
    const { folder } = JSON.parse(place) as { folder: string }
    expect(readdirSync(folder).sort()).toEqual(['answers', 'commands'])
  })
})
