// A kept pool that is full when it grows. Its metadata is on a slow disk and its writers have a low priority: so a write
// often looks at its mapping while the kernel begins to suspend the pool, and arrives when the suspension waits for it.
// @udev both
import { execFile } from 'node:child_process'
import { rmSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { MiB, ThinPool, type DmThinError, type KeepOptions } from '../../../lib/entry/index.js'
import { sectors } from '../../../lib/base/units.js'
import { nativePort } from '../../../lib/kernel/native-port.js'
import { poolStatusLine, poolTable } from '../../../lib/pool/state/context.js'
import { withPoolLock } from '../../../lib/pool/state/locks.js'
import { poolTableLine } from '../../../lib/target/thin-pool.js'
import { BLOCK, pattern, readAt } from '../../helpers/kernel/blocks.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { run } from '../../helpers/process/spawned.js'
import { dmCreate, dmInfo, dmRemove, thinCheck } from '../../helpers/kernel/dmsetup.js'

const scratch = useScratch()
beforeEach(() => scratch.log.allow(/no free data space/, /reached low water mark/, /out-of-data-space/))

const HOUR_MS = 3_600_000
const SLOW_MS = 20
const WRITERS = 8
const EACH = 60
const ALL = WRITERS * EACH
const program = promisify(execFile)

/** Runs `body` on a pool of 48 blocks. Each write to its metadata takes 20 ms. */
async function withSlowPool(options: KeepOptions, body: (pool: ThinPool) => Promise<void>): Promise<void> {
  const [file, slow] = [scratch.path('metadata'), scratch.name('slow')]
  run('truncate', ['--size', '64M', file])
  const loop = run('losetup', ['--find', '--show', file]).trim()
  dmCreate(slow, `0 131072 delay ${loop} 0 0 ${loop} 0 ${SLOW_MS}`)
  const device = `/dev/dm-${dmInfo(slow)!.number.split(':')[1]}`
  const data = { file: scratch.path('data'), sizeBytes: 48 * BLOCK }
  const pool = await ThinPool.create({ name: scratch.name('full'), data, metadata: { device } })
  const metadata = { minBytes: 0, growBelowBytes: 1, extend: () => {} }
  const keeper = await pool.keep({ ...options, metadata, hostReserveBytes: 0 })
  await until(async () => (await used(pool)) === 4) // the spares
  await body(pool)
  await keeper.stop()
  expect(await used(pool)).toBe(ALL)
  await pool.remove({ deactivate: true, deleteFiles: true })
  thinCheck(device)
  dmRemove(slow)
  run('losetup', ['--detach', loop])
  rmSync(file)
}

const used = async (pool: ThinPool): Promise<number> => (await pool.status()).data!.usedBlocks

async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await sleep(10)
}

/** Writes a volume of the pool by eight programs, beside `body`. Verifies that no write fails and what was written. */
async function written(pool: ThinPool, body: (isOver: () => boolean) => Promise<void>): Promise<void> {
  const volume = await (await pool.createVolume({ sizeBytes: 64 * MiB })).activate()
  const source = scratch.path('source')
  writeFileSync(source, pattern(7, ALL * BLOCK))
  let isOver = false
  const writes = Array.from({ length: WRITERS }, (_, writer) => {
    const place = [`skip=${writer * EACH}`, `seek=${writer * EACH}`, `count=${EACH}`]
    const words = [`if=${source}`, `of=${volume.path}`, ...place, 'bs=64k', 'oflag=direct', 'status=none']
    return program('nice', ['-n', '19', 'dd', ...words])
  })
  const all = Promise.all(writes).finally(() => (isOver = true))
  await Promise.all([all, body(() => isOver)])
  expect((await readAt(volume.path, 0, ALL * BLOCK)).equals(pattern(7, ALL * BLOCK))).toBe(true)
}

test('no write fails to a pool that is full whenever its keeper grows it', async () => {
  const errors: DmThinError[] = []
  const data = { growBelowBytes: 2 * BLOCK, stepBytes: 12 * BLOCK }
  await withSlowPool({ data, onError: error => errors.push(error) }, async pool => {
    await written(pool, async () => {})
    expect((await pool.metrics()).growths).toBeGreaterThan(10)
  })
  expect(errors).toEqual([])
})

test('a keeper ends the resumes of a full pool that hang: no write fails, wherever the resume meets the writers', async () => {
  const sent = jest.spyOn(nativePort(), 'targetMessage')
  const freed = () => sent.mock.calls.filter(([, , text]) => text.startsWith('delete')).length
  const data = { growBelowBytes: BLOCK, maxBytes: 48 * BLOCK }
  await withSlowPool({ data, lookEveryMs: HOUR_MS }, async pool => {
    const { context } = pool
    const { port, address, name } = context
    const isLow = async () => {
      const line = await poolStatusLine(context)
      return 'usedDataBlocks' in line && line.totalDataBlocks - line.usedDataBlocks <= 1
    }
    let blocks = 48
    run('truncate', ['--size', '64M', scratch.path('data')])
    const loop = run('losetup', ['--associated', scratch.path('data'), '--noheadings', '--output', 'NAME']).trim()
    run('losetup', ['--set-capacity', loop])
    await written(pool, async isOver => {
      while (!isOver() && blocks < ALL + 48) {
        await withPoolLock(port, name, undefined, async () => {
          blocks = freed() < 3 ? blocks + 12 : ALL + 48 // with one spare left, the pool is not full again
          const table = { ...(await poolTable(context)), lengthSectors: sectors(blocks * BLOCK) }
          await port.tableLoad(address, [poolTableLine(table)], 0)
          while (!isOver() && !(await isLow()));
          // The keeper itself asks for the status before a resume, and so waits for the commit that the race is about.
          await sleep(Math.random() * 3 * SLOW_MS)
          await context.resumes.watch!(port.resume(address))
        })
      }
    })
  })
})
