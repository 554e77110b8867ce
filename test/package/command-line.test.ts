// The command line of the installed package, and what it says if an optional package is missing.
import { rmSync } from 'node:fs'
import path from 'node:path'
import { consumer, copyOfConsumer, plainEnvironment, run } from './package'

const dmThin = (where: string, ...args: string[]) =>
  run(path.join(where, 'node_modules/.bin/dm-thin'), args, where, plainEnvironment())

test('the installed command lists its subcommands without any optional package', () => {
  const { status, stdout } = dmThin(consumer(), '--help')
  expect(status).toBe(0)
  for (const name of ['pool', 'volume', 'layer', 'snapshotter', 'snapshot-metadata', 'doctor'])
    expect(stdout).toMatch(`\n  ${name} `)
})

test('the error of the snapshotter names the missing gRPC package', () => {
  const { status, output } = dmThin(consumer(), 'snapshotter', '--root', path.join(consumer(), 'never-made'))
  expect(output).toMatch(/^dm-thin: .*: npm install @grpc\/grpc-js@\^1\.14 \(DM_DEPENDENCY\)\n$/)
  expect(status).toBe(7)
})

test('the error without commander contains the command that installs it', () => {
  const where = copyOfConsumer('without-commander')
  rmSync(path.join(where, 'node_modules/commander'), { recursive: true })
  const { status, output } = dmThin(where, 'doctor')
  expect(output).toBe('dm-thin: the package commander cannot be loaded: npm install commander@^14\n')
  expect(status).toBe(7)
})
