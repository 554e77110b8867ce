// The type tests are programs that compile, with each mistake in them marked as expected: a mark without a mistake
// is an error too.
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'

const repository = path.join(__dirname, '../../..')
const folder = path.join(repository, 'test/types')
const files = readdirSync(folder).filter(name => name.endsWith('.ts'))

test('the type tests compile', () => {
  const tsc = path.join(repository, 'node_modules/typescript/bin/tsc')
  const { status, stdout } = spawnSync(process.execPath, [tsc, '--noEmit', '-p', folder], { encoding: 'utf8' })
  expect({ status, stdout }).toEqual({ status: 0, stdout: '' })
})

test('the type tests contain expected errors, not only valid programs', () => {
  expect(files.length).toBeGreaterThan(0)
  const withoutMistake = files.filter(
    name => !readFileSync(path.join(folder, name), 'utf8').includes('@ts-expect-error'),
  )
  expect(withoutMistake).toEqual([])
})
