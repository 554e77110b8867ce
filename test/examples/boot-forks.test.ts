// The example boots virtual machines from thin snapshots, and its picture has the numbers of thin_dump.
// @full
import { mkdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { useScratch } from '../helpers/kernel/scratch.js'
import { thinDump } from '../helpers/metadata/tools.js'
import { bootKernel } from '../helpers/process/boot-kernel.js'
import { run } from '../helpers/process/spawned.js'
import { outcomeOf } from '../helpers/process/spawner.js'

const program = path.join(__dirname, '../../dist-examples/boot-forks/boot-forks.mjs')
const scratch = useScratch()

/** Ends what hangs: five boots of an emulated kernel are far from it, on a busy machine too. */
const LIMIT_MS = 900_000

/** The example uses names of its own, so all devices of the machine are compared, and not the marked ones alone. */
const machine = (): string => run('dmsetup', ['ls']) + run('losetup', ['--list', '--output', 'NAME,BACK-FILE'])

const PRINTED = `one: found nothing, and wrote
two: found nothing, and wrote
three: found nothing, and wrote
one after the reset: found nothing
fork: found two
fork: at one point in time: true
two: counted on after it
`

type Blocks = Map<number, string>

/** The rows of the picture: the name and thin id of each disk, its blocks by colour, and the text of its numbers. */
function drawn(svg: string): { name: string; id: number; blocks: Blocks; numbers: string }[] {
  return [...svg.matchAll(/^<g><text [^>]*>(\w+)<\/text>(.*)<text [^>]*>thin (\d+): (.*)<\/text><\/g>$/gm)].map(
    ([, name, rects, id, numbers]) => {
      const blocks: Blocks = new Map()
      const filled = rects!.matchAll(/<rect x="(\d+)" y="\d+" width="(\d+)" height="18" fill="(#\w+)"\/>/g)
      for (const [, x, width, colour] of filled)
        for (let at = 0; at < Number(width); at += 4) blocks.set((Number(x) - 130 + at) / 4, colour!)
      return { name: name!, id: Number(id), blocks, numbers: numbers! }
    },
  )
}

/** The blocks of the volumes, of which the first is the base, by the colour that they should have. */
function expected(dump: ReturnType<typeof thinDump>, ids: readonly number[]): Blocks[] {
  const mapped = ids.map(id => {
    const one = (range: { begin: number; length: number; data: number }) =>
      Array.from({ length: range.length }, (_, at) => [range.begin + at, range.data + at] as const)
    return new Map(dump.get(id)!.flatMap(one))
  })
  const all = mapped.flatMap(each => [...each.values()])
  const colour = (at: number, block: number) => {
    if (mapped[0]!.get(at) === block) return '#b6c2cf'
    return all.filter(each => each === block).length > 1 ? '#54aeff' : '#cf222e'
  }
  return mapped.map(each => new Map([...each].map(([at, block]) => [at, colour(at, block)])))
}

test(
  'machines boot from snapshots, forks and a reset disk, and the picture shows the blocks of thin_dump',
  () => {
    const folder = scratch.path('boot-forks')
    mkdirSync(folder)
    const before = machine()
    const { status, stdout, stderr } = outcomeOf(
      process.execPath,
      [program, ...bootKernel(), folder],
      undefined,
      LIMIT_MS,
    )
    expect({ status, stderr: stderr.toString() }).toEqual({ status: 0, stderr: '' })
    const printed = stdout.toString()
    expect(printed.slice(0, PRINTED.length)).toBe(PRINTED)
    expect(machine()).toBe(before)

    const metadata = path.join(folder, 'store/metadata.img')
    const rows = drawn(readFileSync(path.join(folder, 'shared-blocks.svg'), 'utf8'))
    expect(rows.map(({ name }) => name)).toEqual(['base', 'one', 'two', 'three', 'fork'])
    const blocks = expected(
      thinDump(metadata),
      rows.map(({ id }) => id),
    )
    const sorted = (each: Blocks) => [...each].sort(([one], [other]) => one - other)
    expect(rows.map(row => sorted(row.blocks))).toEqual(blocks.map(sorted))
    const numbers = blocks.map(each => {
      const count = (colour: string) => [...each.values()].filter(one => one === colour).length
      const [base, shared, own] = ['#b6c2cf', '#54aeff', '#cf222e'].map(count) as [number, number, number]
      return { base, shared, own, text: `${base} of the base, ${shared} shared with another disk, ${own} of its own` }
    })
    expect(rows.map(row => row.numbers)).toEqual(numbers.map(({ text }) => text))
    expect(printed.slice(PRINTED.length)).toBe(rows.map(row => `${row.name}: ${row.numbers}\n`).join(''))
    // Each wrote 1 MiB, which is 16 blocks. The fork has those of its origin, and has written some of its own since.
    const [base, one, two, three, fork] = numbers
    expect(base).toMatchObject({ shared: 0, own: 0 })
    for (const each of [one!, three!]) expect([each.shared, each.own >= 16]).toEqual([0, true])
    for (const each of [two!, fork!])
      expect([each.shared >= 16, each.own > 0, each.base > 0]).toEqual([true, true, true])
  },
  LIMIT_MS,
)
