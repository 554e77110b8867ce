// The first program of the README runs on each supported Node, which can also parse the programs of all pages. The second
// one starts mkfs, and User-Mode Linux does not survive that a process with memory of io_uring, as every Node after 20 has,
// starts another: test/examples runs it on this Node, and store.test.ts beside this file has the store on each.
import { mkdirSync, readdirSync } from 'node:fs'
import path from 'node:path'
import { programs, writePrograms } from '../helpers/docs/code.js'
import { runtimePath } from '../helpers/process/runtimes.js'
import { useScratch } from '../helpers/kernel/scratch.js'
import { tryRun } from '../helpers/process/spawned.js'

const scratch = useScratch()
const PARSE = `const { SourceTextModule } = require('node:vm'); const { readFileSync } = require('node:fs')
  for (const file of process.argv.slice(1)) new SourceTextModule(readFileSync(file, 'utf8'), { identifier: file })`
// In the work tree, where `dm-thin` is this package.
const folder = path.join(__dirname, '../../.cache/docs-code/runtimes')

test.each(['node20', 'node22', 'node24', 'node26'])('%s runs the first program and can parse all others', name => {
  const cwd = scratch.path(name)
  mkdirSync(cwd)
  const [first] = writePrograms(programs('README.md'), folder)
  for (const words of [['--experimental-vm-modules', '-e', PARSE, ...writePrograms(programs(), folder)], [first!]]) {
    const ran = tryRun('env', ['-C', cwd, 'NODE_NO_WARNINGS=1', runtimePath(name), ...words])
    expect(ran).toMatchObject({ status: 0, stderr: '' })
  }
  expect(readdirSync(cwd)).toEqual([])
})
