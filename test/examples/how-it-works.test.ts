// The example prints, on a real kernel, every line that docs/how-it-works.md shows of it.
// @second-kernel
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { useScratch } from '../helpers/kernel/scratch.js'
import { tryRun } from '../helpers/process/spawned.js'

const root = path.join(__dirname, '../..')
const scratch = useScratch()

/** Replaces what differs between runs: uuids, device numbers, metadata block numbers and times. */
const comparable = (text: string): string =>
  text
    .replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, 'UUID')
    .replace(/\b\d+:\d+(?= |-|$)/gm, 'N:N')
    .replace(/\/dev\/loop\d+/g, '/dev/loopN')
    .replace(/name="\d+"/g, 'name="N"')
    .replace(/^(dm-thin) +[\d.]+ ms/gm, '$1 N ms')

const page = readFileSync(path.join(root, 'docs/how-it-works.md'), 'utf8')
const blocks = (language: string): string[] =>
  [...page.matchAll(new RegExp(`^\`\`\`${language}\n([\\s\\S]*?)^\`\`\`$`, 'gm'))].map(match => comparable(match[1]!))

test('the page shows the output of the example', () => {
  const program = path.join(root, 'dist-examples/how-it-works/how-it-works.mjs')
  const variables = ['DEBUG=dm-thin', `TMPDIR=${scratch.path('.')}`]
  const { status, stdout, stderr } = tryRun('env', [...variables, process.execPath, program])
  expect({ status, stderr }).toEqual({ status: 0, stderr: expect.stringMatching(/^(dm-thin .*\n)+$/) as string })
  const printed = comparable(`${stdout}\n`)
  const shown = blocks('console')
  expect(shown.length).toBeGreaterThan(10)
  expect(shown.filter(block => !printed.includes(`\n${block}`))).toEqual([])
  const traced = comparable(stderr).split('\n')
  const lines = blocks('text').flatMap(block => block.trimEnd().split('\n'))
  expect(lines.length).toBeGreaterThan(0)
  expect(lines.filter(line => !traced.includes(line))).toEqual([])
})
