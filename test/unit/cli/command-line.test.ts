// The command line without a kernel: help, the pages, exit codes, the tree of layers and the progress bar.
import { readFileSync } from 'node:fs'
import path from 'node:path'
import type { Command } from 'commander'
import { EXIT, EXIT_OF } from '../../../lib/cli/common/exit-codes.js'
import { layerTrees, treeText } from '../../../lib/cli/layer-tree.js'
import { jsonText, nameText, Progress, sizeText, table } from '../../../lib/cli/common/output.js'
import { makeProgram } from '../../../lib/cli/program.js'
import type { LayerInfo } from '../../../lib/entry/store.js'
import { DmThinError } from '../../../lib/entry/index.js'

const page = readFileSync(path.join(__dirname, '../../../docs/command-line.md'), 'utf8')

/** The commands that do something, by their names, as `pool ls`. */
const commands = (parent: Command, above: readonly string[] = []): [string, Command][] =>
  parent.commands.flatMap((command): [string, Command][] => {
    const names = [...above, command.name()]
    return command.commands.length > 0 ? commands(command, names) : [[names.join(' '), command]]
  })
const onPage = [...page.matchAll(/^### (.+)$/gm)].map(match => match[1]!)

/** Help as it is printed, with what stands after the options. */
function helpOf(command: Command): string {
  let text = ''
  command.configureOutput({ writeOut: more => (text += more) }).outputHelp()
  return text
}

/** Returns the command `pool ls`, and its parser. */
function commandOf(name: string) {
  const program = makeProgram()
  return { program, command: new Map(commands(program)).get(name)! }
}

test.each(onPage)('the command %s has --json, an example that parses, and an entry on the page', name => {
  const { program, command } = commandOf(name)
  const help = helpOf(command)
  expect(help).toContain('--json')
  const example = /\nExample:\n {2}(.+)\n$/.exec(help)?.[1]
  expect(example).toContain(`dm-thin ${name}`)
  expect(page).toContain(`\n${example}\n`)
  for (const { long } of command.options) expect(page).toContain(`\`${long}`)

  let parsed = false
  const words = example!.slice(example!.indexOf('dm-thin ') + 'dm-thin '.length).split(' ')
  command.action(() => void (parsed = true))
  program.parse(words, { from: 'user' })
  expect(parsed).toBe(true)
})

test('the page has every command and no other', () => {
  const all = commands(makeProgram())
  expect(onPage).toEqual(all.map(([name]) => name))
})

test('the table of exit codes on the page lists each error code in the row of its exit code', () => {
  const rows = [...page.matchAll(/^\| (\d+) +\| [^|]+ \| ([^|]*)\|$/gm)]
  const codesOnPage = rows.flatMap(([, exit, codes]) =>
    [...codes!.matchAll(/`(\w+)`/g)].map(([, code]) => [code, Number(exit)] as const),
  )
  expect(Object.fromEntries(codesOnPage)).toEqual(EXIT_OF)
  const numbers = new Set(rows.map(([, exit]) => Number(exit)))
  expect(Object.values(EXIT).filter(exit => !numbers.has(exit))).toEqual([])
})

describe('the output', () => {
  test('has readable sizes and columns, and escapes control characters in names', () => {
    expect([0, 512, 65536, 1.5 * 2 ** 30, 2 ** 50].map(sizeText)).toEqual([
      '0 B',
      '512 B',
      '64 KiB',
      '1.5 GiB',
      '1 PiB',
    ])
    expect(table(['A', 'LONG'], [['wide', 'x'], ['y', '']])).toBe('A     LONG\nwide  x\ny') // prettier-ignore
    expect(['plain', 'two words', 'esc\x1b[2J'].map(nameText)).toEqual(['plain', '"two words"', '"esc\\u001b[2J"'])
  })

  test('has bigints as strings and errors as their facts in JSON', () => {
    const error = new DmThinError('DM_BUSY', 'busy', { device: 'x' })
    expect(JSON.parse(jsonText({ id: 2n ** 60n, error }))).toEqual({
      id: '1152921504606846976',
      error: { code: 'DM_BUSY', message: 'busy', device: 'x' },
    })
  })
})

describe('the tree of layers', () => {
  const layer = (key: string, parent: string, kind: LayerInfo['kind'] = 'committed'): LayerInfo => ({
    key,
    parent,
    kind,
    createdAt: 0n,
    updatedAt: 0n,
    labels: {},
    sizeBytes: 2 ** 30,
    fileSystem: 'ext4',
    raw: key === 'vm',
  })

  test('shows each layer below its parent, in any order of the input', () => {
    const layers = [layer('vm', 'b', 'active'), layer('c', 'a'), layer('b', 'a'), layer('a', ''), layer('z', '')]
    expect(treeText(layerTrees(layers)).split('\n')).toEqual([
      'a committed, 1 GiB ext4',
      '├─ c committed, 1 GiB ext4',
      '└─ b committed, 1 GiB ext4',
      '   └─ vm active, 1 GiB raw',
      'z committed, 1 GiB ext4',
    ])
    expect(treeText(layerTrees([]))).toBe('')
  })

  test('is built without recursion, from a chain of 20 000 layers', () => {
    const chain = Array.from({ length: 20_000 }, (_, at) => layer(`k${at}`, at === 0 ? '' : `k${at - 1}`))
    const lines = treeText(layerTrees(chain.slice(0, 3000))).split('\n')
    expect(lines).toHaveLength(3000)
    expect(lines[2]).toBe('   └─ k2 committed, 1 GiB ext4')
    expect(layerTrees(chain)).toHaveLength(1)
  })
})

describe('a progress bar', () => {
  const drawn = (isTTY: boolean, columns: number) => {
    const written: string[] = []
    const progress = new Progress({ isTTY, columns, write: text => written.push(text) }, 'importing')
    return { written, progress }
  }

  test('fits the width of the terminal, and is erased at the end', () => {
    const { written, progress } = drawn(true, 44)
    progress.update(1, 2, 'a detail that is too long')
    progress.update(2, 2)
    progress.end()
    progress.end()
    expect(written).toEqual([
      '\r\x1b[Kimporting [##########----------] 1/2  a det',
      '\r\x1b[Kimporting [####################] 2/2',
      '\r\x1b[K',
    ])
  })

  test('is not drawn if the output is not a terminal', () => {
    const { written, progress } = drawn(false, 80)
    progress.update(1, 1)
    progress.end()
    expect(written).toEqual([])
  })
})
