// Scenario                                                  Test
// C  FIFREEZE, FITHAW                                       freeze() makes writers wait …
// M  always thawed: return, throw, time, abort, exit        whileFrozen() thaws if its …; a process that ends thaws the …
// M  a process killed while it held the freeze              a process that ends thaws the …
// C  FITRIM on a thin volume                                trim() frees the blocks of …
// C  growing mounted ext4 and xfs                           growFileSystem() enlarges a mounted …
// bad input                                                 freeze, thaw, trim and …
import { mkdirSync, truncateSync, writeFileSync } from 'node:fs'
import { rm, writeFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  freeze,
  growFileSystem,
  LoopDevice,
  MiB,
  mount,
  thaw,
  trim,
  unmount,
  whileFrozen,
} from '../../../lib/entry/index.js'
import { startChild } from '../../helpers/process/children.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { withPool } from '../../helpers/pool/pools.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { run, tryRun } from '../../helpers/process/spawned.js'

const scratch = useScratch()
let made = 0

function folder(): string {
  const path = scratch.path(`mounted-${++made}`)
  mkdirSync(path)
  return path
}

/** A mounted file system on a loop device over a sparse file. */
async function withMounted(type: 'ext4' | 'xfs', bytes: number, body: (at: string, loop: LoopDevice) => Promise<void>) {
  const file = scratch.path(`image-${++made}`)
  writeFileSync(file, '')
  truncateSync(file, bytes)
  run(`mkfs.${type}`, ['-q', file])
  const loop = await LoopDevice.attach({ file })
  const target = folder()
  try {
    await mount({ source: loop.path, target, type })
    try {
      await body(target, loop)
    } finally {
      tryRun('fsfreeze', ['--unfreeze', target]) // what a failed test left would hang the unmount
      await unmount(target)
    }
  } finally {
    await loop.detach()
  }
}

/** By fsfreeze, which is refused where it is frozen already; it leaves it as it was. */
function isFrozen(target: string): boolean {
  if (tryRun('fsfreeze', ['--freeze', target]).status !== 0) return true
  run('fsfreeze', ['--unfreeze', target])
  return false
}

test('freeze() makes writers wait until thaw(), and a second freeze() rejects with DM_BUSY', async () => {
  await withMounted('ext4', 16 * MiB, async target => {
    await using frozen = await freeze(target)
    expect([frozen.path, isFrozen(target)]).toEqual([target, true])
    let written = false
    const writing = writeFile(`${target}/file`, 'content').then(() => (written = true))
    expect((await expectCode(freeze(target), 'DM_BUSY')).message).toContain('frozen already')
    await sleep(200)
    expect(written).toBe(false)
    await Promise.all([frozen.thaw(), frozen.thaw()])
    await writing
    await frozen.thaw()
    expect(isFrozen(target)).toBe(false)
    expect(await expectCode(thaw(target), 'DM_KERNEL')).toMatchObject({ operation: 'FITHAW', errno: 22 })
  })
})

test('whileFrozen() thaws if its body returns, throws, exceeds its time or is aborted', async () => {
  await withMounted('xfs', 320 * MiB, async target => {
    const seen: boolean[] = []
    const look = async () => void seen.push(isFrozen(target))
    expect(await whileFrozen(target, () => look().then(() => 'done'))).toBe('done')
    const fault = new Error('of the body')
    await expect(whileFrozen(target, () => look().then(() => Promise.reject(fault)))).rejects.toBe(fault)
    expect([...seen, isFrozen(target)]).toEqual([true, true, false])
    const thrower = () => {
      throw fault
    }
    await expect(whileFrozen(target, thrower)).rejects.toBe(fault)
    expect(isFrozen(target)).toBe(false)

    let given: AbortSignal | undefined
    const never = (signal: AbortSignal) => new Promise<never>(() => (given = signal))
    const late = await expectCode(whileFrozen(target, never, { timeoutMs: 50 }), 'ABORT_ERR')
    expect(late.cause).toMatchObject({ name: 'TimeoutError' })
    expect([given!.aborted, isFrozen(target)]).toEqual([true, false])
    const controller = new AbortController()
    const running = whileFrozen(target, never, { signal: controller.signal })
    setTimeout(() => controller.abort('enough'), 50)
    expect(await expectCode(running, 'ABORT_ERR')).toMatchObject({ cause: 'enough' })
    expect(isFrozen(target)).toBe(false)
  })
})

test('a process that ends thaws the file systems that it froze, and thaw() thaws those of a killed process', async () => {
  await withMounted('ext4', 16 * MiB, async target => {
    const body = (end: string) => `
      await dmThin.freeze(${JSON.stringify(target)})
      console.log('frozen')
      ${end}`
    const kept = `await new Promise(resolve => process.stdin.once('data', resolve))`
    const ends = [
      'process.exit(3)',
      'process.stdin.destroy(); return 0',
      'setImmediate(() => { throw 1 }); await sleep',
    ]
    for (const end of ends) {
      const child = startChild(body(`${kept}; ${end.replace('await sleep', 'await new Promise(() => {})')}`))
      await child.saw('frozen')
      expect(isFrozen(target)).toBe(true)
      child.process.stdin!.write('go\n')
      await child.result.catch(() => {})
      expect([end, isFrozen(target)]).toEqual([end, false])
    }
    const killed = startChild(body(kept))
    await killed.saw('frozen')
    killed.process.kill('SIGKILL')
    await killed.result.catch(() => {})
    expect(isFrozen(target)).toBe(true)
    await thaw(target)
    expect(isFrozen(target)).toBe(false)
  })
})

test('trim() frees the blocks of deleted files in the pool', async () => {
  await withPool(async pool => {
    const volume = await (await pool.createVolume({ sizeBytes: 48 * MiB })).activate()
    // Complete at once: left to the mounted kernel, it would write more while blocks are counted.
    const complete = 'nodiscard,lazy_itable_init=0,lazy_journal_init=0'
    run('mkfs.ext4', ['-q', '-E', complete, volume.path])
    const target = folder()
    await mount({ source: volume.path, target, type: 'ext4' })
    await writeFile(`${target}/file`, Buffer.alloc(16 * MiB, 1))
    run('sync', ['--file-system', target])
    const full = (await volume.status()).mappedBytes!
    await rm(`${target}/file`)
    run('sync', ['--file-system', target])
    expect(await trim(target, { offsetBytes: 0, lengthBytes: 48 * MiB, minimumBytes: 4096 })).toBeGreaterThan(16 * MiB)
    expect((await volume.status()).mappedBytes).toBeLessThanOrEqual(full - 15 * MiB)
    // ext4 remembers what it has trimmed: for fstrim there is nothing left.
    expect(run('fstrim', ['--verbose', target])).toMatch(/: 0 B /)
    expect(await trim(target)).toBe(0)
    await unmount(target)
    await volume.deactivate()
  })
})

test('growFileSystem() enlarges a mounted ext4 to the size of its device', async () => {
  await withMounted('ext4', 32 * MiB, async (target, loop) => {
    const blocks = () => Number(/Block count: +(\d+)/.exec(run('dumpe2fs', ['-h', loop.path]))![1])
    const blockBytes = Number(/Block size: +(\d+)/.exec(run('dumpe2fs', ['-h', loop.path]))![1])
    const same = await growFileSystem(target)
    expect(same).toMatchObject({ type: 'ext4', deviceBytes: 32 * MiB, afterBytes: same.beforeBytes })
    truncateSync(loop.file, 64 * MiB)
    await loop.resize()
    const grown = await growFileSystem(target)
    expect(grown).toMatchObject({ deviceBytes: 64 * MiB, beforeBytes: same.afterBytes })
    expect(grown.afterBytes).toBeGreaterThan(same.afterBytes + 24 * MiB)
    run('sync', ['--file-system', target])
    expect(blocks() * blockBytes).toBe(64 * MiB)
  })
})

test('growFileSystem() enlarges a mounted xfs to the size of its device', async () => {
  await withMounted('xfs', 320 * MiB, async (target, loop) => {
    const bytes = () => {
      const [, size, blocks] = /data +=.*bsize=(\d+) +blocks=(\d+)/.exec(run('xfs_info', [target]))!.map(Number)
      return size! * blocks!
    }
    expect(bytes()).toBe(320 * MiB)
    truncateSync(loop.file, 640 * MiB)
    await loop.resize()
    expect(await growFileSystem(target)).toMatchObject({ type: 'xfs', deviceBytes: 640 * MiB })
    expect(bytes()).toBe(640 * MiB)
    const again = await growFileSystem(target)
    expect(again.afterBytes).toBe(again.beforeBytes)
    await writeFile(`${target}/file`, 'content')
    expect(await trim(target, { lengthBytes: 640 * MiB })).toBeGreaterThan(0)
  })
})

test('freeze, thaw, trim and growFileSystem reject unsupported and missing targets, and do nothing if already aborted', async () => {
  for (const call of [freeze('/proc'), trim('/proc'), growFileSystem('/proc')]) {
    const fault = await expectCode(call, 'DM_UNSUPPORTED')
    expect([25, 95]).toContain(fault.errno)
  }
  const none = scratch.path('none')
  for (const call of [freeze(none), thaw(none), trim(none), growFileSystem(none), whileFrozen(none, async () => 1)]) {
    await expectCode(call, 'DM_FILE_MISSING')
  }
  await withMounted('ext4', 16 * MiB, async target => {
    const signal = AbortSignal.abort('no')
    for (const call of [freeze(target, { signal }), whileFrozen(target, async () => 1, { signal })]) {
      expect(await expectCode(call, 'ABORT_ERR')).toMatchObject({ cause: 'no' })
    }
    expect(isFrozen(target)).toBe(false)
  })
})
