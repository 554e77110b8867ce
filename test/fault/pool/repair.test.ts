// A process killed at each step of a repair: the metadata file is the complete original or the complete repaired one, and
// the next repair brings the pool back with its volumes.
import { chmodSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { MiB, ThinPool } from '../../../lib/entry/index.js'
import { seedOf, writeBlock } from '../../helpers/kernel/blocks.js'
import { thinCheck } from '../../helpers/kernel/dmsetup.js'
import { markedDevices, markedLoops } from '../../helpers/kernel/kernel-state.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { runKilled } from '../../helpers/fault/fault-child.js'
import { useFaults } from '../../helpers/fault/fault.js'
import { DAMAGE } from '../../helpers/metadata/damage.js'
import { withPool, type PoolFiles } from '../../helpers/pool/pools.js'
import { tryRun } from '../../helpers/process/spawned.js'

const scratch = useScratch()
useFaults()
const SEED = 7

/** A pool at rest with one volume, whose metadata is damaged. */
const damaged = (damage: (file: string) => void, body: (files: PoolFiles) => Promise<void>): Promise<void> =>
  withPool(async (pool, files) => {
    const volume = await (await pool.createVolume({ sizeBytes: 4 * MiB, id: 0 })).activate()
    await writeBlock(volume.path, 3, SEED)
    await pool.remove({ deactivate: true })
    damage(files.metadataFile)
    await body(files)
  })

/** Repairs, reads the volume, and expects that nothing of the killed process is left. */
async function expectRepaired({ metadataFile, reopen }: PoolFiles): Promise<void> {
  const { pool } = await ThinPool.repair(reopen)
  const volume = await (await pool.volume(0, { sizeBytes: 4 * MiB })).activate()
  expect(await seedOf(volume.path, 3, [SEED])).toBe(SEED)
  await pool.remove({ deactivate: true })
  thinCheck(metadataFile)
  expect(namesBeside(metadataFile)).toEqual(['data.img', 'metadata.img', 'metadata.img.before-repair'])
}

const namesBeside = (file: string): string[] => readdirSync(path.dirname(file)).sort()
const rest = (name: string): RegExp => new RegExp(`^${name}\\.repair-[0-9a-f]{8}$`)

const repair = (reopen: PoolFiles['reopen'], before = '') =>
  `${before}; armed(); await dmThin.ThinPool.repair(${JSON.stringify(reopen)})`
/** Replaces a function of node:fs/promises by one that kills the process, before or after its work. */
const killIn = (name: string, when: 'before' | 'after') => `
  const fs = require('node:fs/promises')
  const usual = fs.${name}
  fs.${name} = async (...args) => {
    ${when === 'after' ? 'await usual(...args);' : ''} process.kill(process.pid, 'SIGKILL')
    await new Promise(() => {})
  }`
/** A fault that is never reached: the process is killed by other means. */
const NEVER = { operation: 'DM_TARGET_MSG', nth: 1000, kind: 'kill-before' } as const

/** A program in place of one of thin-provisioning-tools, which kills the process that has started it. */
function killingTool(tool: string, isKilledFirst: boolean): string {
  const folder = scratch.path(scratch.name('tools'))
  mkdirSync(folder)
  const real = tryRun('sh', ['-c', `command -v ${tool}`]).stdout.trim()
  const kill = 'kill -9 $PPID'
  const script = isKilledFirst ? `${kill}; exec ${real} "$@"` : `${real} "$@"; ${kill}`
  writeFileSync(path.join(folder, tool), `#!/bin/sh\n${script}\n`)
  chmodSync(path.join(folder, tool), 0o755)
  return `process.env.PATH = ${JSON.stringify(`${folder}:`)} + process.env.PATH`
}

test.each([
  ['before thin_restore', () => killingTool('thin_restore', true)],
  ['after thin_restore', () => killingTool('thin_restore', false)],
  ['before the original has its second name', () => killIn('link', 'before')],
  ['after the original has its second name', () => killIn('link', 'after')],
  ['before the rename', () => killIn('rename', 'before')],
])('a process killed %s leaves the original, which the next repair repairs', (_, before) =>
  damaged(DAMAGE.bitmap, async files => {
    const { metadataFile, reopen } = files
    const original = readFileSync(metadataFile)
    runKilled(repair(reopen, before()), NEVER)
    expect(readFileSync(metadataFile).equals(original)).toBe(true)
    expect(namesBeside(metadataFile)).toContainEqual(expect.stringMatching(rest('metadata.img')))
    expect([markedDevices(), markedLoops()]).toEqual([[], []])
    await expectCode(ThinPool.open({ ...reopen, check: 'full' }), 'DM_CHECK_FAILED')
    await expectRepaired(files)
    expect(readFileSync(`${metadataFile}.before-repair`).equals(original)).toBe(true)
  }),
)

test.each([
  ['after the rename', killIn('rename', 'after'), NEVER],
  ['before the pool is started', '', { operation: 'DM_DEV_CREATE', nth: 1, kind: 'kill-before' } as const],
  ['after the pool is started', '', { operation: 'DM_DEV_RESUME', nth: 1, kind: 'kill-after' } as const],
])('a process killed %s leaves the repaired metadata, which open() finds', (_, before, kill) =>
  damaged(DAMAGE.bitmap, async files => {
    runKilled(repair(files.reopen, before), kill)
    const pool = await ThinPool.open({ ...files.reopen, check: 'full' })
    expect((await pool.status()).mode).toBe('rw')
    await pool.remove()
    await expectRepaired(files)
  }),
)

test.each([true, false])(
  'a process killed while the needs-check flag is cleared (before: %p) leaves metadata that open() or repair() accepts',
  isKilledFirst =>
    damaged(DAMAGE.needsCheck, async ({ metadataFile, reopen }) => {
      // The first two runs of thin_check are without the option.
      const before = killingTool('thin_check', isKilledFirst)
      const folder = /"(.*):"/.exec(before)![1]!
      const file = path.join(folder, 'thin_check')
      const script = readFileSync(file, 'utf8').replace('#!/bin/sh\n', '')
      const real = tryRun('sh', ['-c', 'command -v thin_check']).stdout.trim()
      const other = `case "$1" in --clear*) ;; *) exec ${real} "$@" ;; esac`
      writeFileSync(file, `#!/bin/sh\n${other}\n${script}`)
      runKilled(repair(reopen, before), NEVER)
      while (markedLoops().length > 0) await sleep(20) // the program may go on without its parent
      const { pool, by } = await ThinPool.repair(reopen)
      expect(['flag', 'none']).toContain(by)
      const volume = await (await pool.volume(0, { sizeBytes: 4 * MiB })).activate()
      expect(await seedOf(volume.path, 3, [SEED])).toBe(SEED)
      await pool.remove({ deactivate: true })
      thinCheck(metadataFile)
    }),
)

test('a repair that is aborted while thin_restore runs leaves the original alone', () =>
  damaged(DAMAGE.bitmap, async files => {
    const { metadataFile, reopen } = files
    const original = readFileSync(metadataFile)
    const folder = scratch.path(scratch.name('tools'))
    mkdirSync(folder)
    writeFileSync(path.join(folder, 'thin_restore'), `#!/bin/sh\ntouch ${folder}/started\nexec sleep 1000\n`)
    chmodSync(path.join(folder, 'thin_restore'), 0o755)
    const usual = process.env['PATH']
    process.env['PATH'] = `${folder}:${usual}`
    try {
      const abort = new AbortController()
      const call = expectCode(ThinPool.repair({ ...reopen, signal: abort.signal }), 'ABORT_ERR')
      while (!readdirSync(folder).includes('started')) await sleep(10)
      abort.abort()
      expect((await call).operation).toBe('thin_restore')
    } finally {
      process.env['PATH'] = usual
    }
    expect(readFileSync(metadataFile).equals(original)).toBe(true)
    expect(namesBeside(metadataFile)).toEqual(['data.img', 'metadata.img'])
    expect([markedDevices(), markedLoops()]).toEqual([[], []])
    await expectRepaired(files)
  }))
