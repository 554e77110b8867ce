// Scenario                                                  Test
// C  size, block sizes, read-only flag, as blockdev         BlockDevice.info() returns the …; setReadOnly() sets the flag …
// C  O_DIRECT with any buffer                               read() and write() bypass the page cache, with …
// C  discard, zero-out, on loop and on thin                 discard() makes a hole in …; a discard of a volume frees its …
// M  O_EXCL: mounted, held                                  an exclusive open rejects …
// bad input: behind the end, half a block, closed           invalid ranges and calls …
// abort between two pieces                                  an abort ends a long write …
// @udev both
import { mkdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { alignedBuffer, BlockDevice, KiB, LoopDevice, MiB } from '../../../lib/entry/index.js'
import { BLOCK, pattern, writeBlock } from '../../helpers/kernel/blocks.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { withPool } from '../../helpers/pool/pools.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { run, tryRun } from '../../helpers/process/spawned.js'
import { dmCreate, dmRemove } from '../../helpers/kernel/dmsetup.js'

const scratch = useScratch()
let made = 0

/** A loop device over a file of pseudo-random content, for `body`. */
async function withLoop(bytes: number, body: (loop: LoopDevice, file: string) => Promise<void>, options = {}) {
  const file = scratch.path(`block-${++made}`)
  writeFileSync(file, pattern(made, bytes))
  const loop = await LoopDevice.attach({ file, ...options })
  await body(loop, file)
  await loop.detach()
}

const blockdev = (option: string, device: string): number => Number(run('blockdev', [option, device]))

test('BlockDevice.info() returns the values of blockdev', async () => {
  await withLoop(
    3 * MiB,
    async (loop, file) => {
      await using device = await BlockDevice.open(loop.path)
      const info = await device.info()
      expect(info).toMatchObject({ sizeBytes: 3 * MiB, logicalBlockBytes: 4096, readOnly: false })
      expect(info.sizeBytes).toBe(blockdev('--getsize64', loop.path))
      expect(info.logicalBlockBytes).toBe(blockdev('--getss', loop.path))
      expect(info.physicalBlockBytes).toBe(blockdev('--getpbsz', loop.path))
      expect(device.logicalBlockBytes).toBe(4096)
      expect(device.number).toBe(`7:${loop.number}`)
      expect(info.discardGranularityBytes).toBeGreaterThan(0)
      truncateSync(file, 5 * MiB)
      await loop.resize()
      expect(await device.size()).toBe(5 * MiB)
    },
    { blockSizeBytes: 4096 },
  )
})

test('read() and write() bypass the page cache, with buffers of any kind and alignment', async () => {
  await withLoop(8 * MiB, async (loop, file) => {
    await using device = await BlockDevice.open(loop.path)
    const content = readFileSync(file)
    expect((await device.read(0, 8 * MiB)).equals(content)).toBe(true)
    expect((await device.read(3 * 512, 512)).equals(content.subarray(3 * 512, 4 * 512))).toBe(true)
    expect(await device.read(8 * MiB, 0)).toHaveLength(0)

    const big = pattern(99, 3 * MiB)
    const shifted = Buffer.concat([Buffer.alloc(1), big]).subarray(1) // at an odd address
    const aligned = alignedBuffer(3 * MiB)
    big.copy(aligned)
    const words = new Uint32Array(big.buffer.slice(big.byteOffset, big.byteOffset + big.length))
    for (const [index, buffer] of [shifted, aligned, words, new DataView(words.buffer)].entries()) {
      await device.zeroOut({ offsetBytes: 0, lengthBytes: 8 * MiB })
      await device.write(index * 512, buffer)
      const expected = Buffer.alloc(8 * MiB)
      big.copy(expected, index * 512)
      expect((await device.read(0, 8 * MiB)).equals(expected)).toBe(true)
      await device.flush({ dropCache: true })
      expect(readFileSync(file).equals(expected)).toBe(true)
    }
  })
})

test('read() and write() use the page cache at any byte with direct: false', async () => {
  await withLoop(MiB, async (loop, file) => {
    await using device = await BlockDevice.open(loop.path, { direct: false })
    const content = readFileSync(file)
    expect((await device.read(13, 1000)).equals(content.subarray(13, 1013))).toBe(true)
    await device.write(7, Buffer.from('seven'))
    await device.flush()
    expect(readFileSync(file).toString('utf8', 7, 12)).toBe('seven')
  })
})

test('discard() makes a hole in the file, zeroOut() makes zeros, and the other bytes are unchanged', async () => {
  await withLoop(4 * MiB, async (loop, file) => {
    await using device = await BlockDevice.open(loop.path)
    const before = statSync(file).blocks
    const content = readFileSync(file)
    await device.discard({ offsetBytes: MiB, lengthBytes: MiB })
    expect(statSync(file).blocks).toBe(before - MiB / 512)
    await device.zeroOut({ offsetBytes: 2 * MiB, lengthBytes: 64 * KiB })
    content.fill(0, MiB, 2 * MiB + 64 * KiB)
    expect((await device.read(0, 4 * MiB)).equals(content)).toBe(true)
    expect(readFileSync(file).equals(content)).toBe(true)
    const fault = await expectCode(device.secureDiscard({ offsetBytes: 0, lengthBytes: MiB }), 'DM_UNSUPPORTED')
    expect(fault).toMatchObject({ operation: 'BLKSECDISCARD', errno: 95 })
  })
})

test('a discard of a volume frees its blocks in the pool', async () => {
  await withPool(async pool => {
    const volume = await (await pool.createVolume({ sizeBytes: 8 * MiB })).activate()
    for (let block = 0; block < 4; block++) await writeBlock(volume.path, block, block + 1)
    expect((await volume.status()).mappedBytes).toBe(4 * BLOCK)
    const device = await BlockDevice.open(volume.path, { exclusive: true })
    expect((await device.info()).discardGranularityBytes).toBe(BLOCK)
    await device.discard({ offsetBytes: BLOCK, lengthBytes: 2 * BLOCK })
    expect((await volume.status()).mappedBytes).toBe(2 * BLOCK)
    await device.discard({ offsetBytes: 0, lengthBytes: await device.size() })
    expect((await volume.status()).mappedBytes).toBe(0)
    await device.close()
    await volume.deactivate()
  })
})

test('setReadOnly() sets the flag that blockdev reports, writes fail with EROFS, and the flag can be cleared', async () => {
  await withLoop(MiB, async loop => {
    await using device = await BlockDevice.open(loop.path, { readOnly: true })
    await device.setReadOnly(true)
    expect(blockdev('--getro', loop.path)).toBe(1)
    expect((await device.info()).readOnly).toBe(true)
    const EROFS = 30
    const writer = await BlockDevice.open(loop.path)
    const refused = await expectCode(writer.write(0, Buffer.alloc(512)), 'DM_KERNEL')
    expect(refused).toMatchObject({ errno: EROFS, operation: 'pwrite' })
    const kept = await expectCode(writer.zeroOut({ offsetBytes: 0, lengthBytes: 512 }), 'DM_KERNEL')
    expect(kept).toMatchObject({ errno: EROFS, operation: 'BLKZEROOUT' })
    await device.setReadOnly(false)
    expect(blockdev('--getro', loop.path)).toBe(0)
    await writer.write(0, Buffer.alloc(512))
    await writer.close()
  })
})

test('an exclusive open rejects with DM_BUSY and its holders if the device is open exclusively or mounted', async () => {
  await withLoop(16 * MiB, async loop => {
    run('mkfs.ext4', ['-q', loop.path])
    const device = await BlockDevice.open(loop.path, { exclusive: true })
    const second = await expectCode(BlockDevice.open(loop.path, { exclusive: true }), 'DM_BUSY')
    expect(second.holders).toContainEqual(expect.objectContaining({ kind: 'process', pid: process.pid }))
    expect(second.message).toMatch(/^open "\/dev\/loop\d+": device is busy .* held by process/)
    await device.close()
    const target = scratch.path('mounted')
    mkdirSync(target)
    run('mount', ['-t', 'ext4', loop.path, target])
    const opening = expectCode(BlockDevice.open(loop.path, { exclusive: true }), 'DM_BUSY')
    const mounted = await opening.finally(() => run('umount', [target]))
    expect(mounted.holders).toContainEqual(
      expect.objectContaining({ kind: 'mount', pid: expect.any(Number) as number }),
    )
  })
})

test('rereadPartitions() of a device that cannot have partitions rejects with DM_UNSUPPORTED', async () => {
  await withLoop(MiB, async loop => {
    await using device = await BlockDevice.open(loop.path)
    expect(await expectCode(device.rereadPartitions(), 'DM_UNSUPPORTED')).toMatchObject({ operation: 'BLKRRPART' })
  })
})

test('invalid ranges and calls that the device does not support are rejected, and change nothing', async () => {
  await withLoop(MiB, async (loop, file) => {
    const content = readFileSync(file)
    const device = await BlockDevice.open(loop.path)
    const reader = await BlockDevice.open(loop.path, { readOnly: true })
    const refused = [
      () => device.read(MiB - 512, 1024),
      () => device.write(MiB, Buffer.alloc(512)),
      () => device.discard({ offsetBytes: 0, lengthBytes: MiB + 512 }),
      () => device.zeroOut({ offsetBytes: 2 ** 52, lengthBytes: 512 }),
      () => device.read(100, 512),
      () => device.read(0, 100),
      () => device.read(0, 2 ** 31),
      () => device.write(0, Buffer.alloc(100)),
      () => device.write(0, 'text' as never),
      () => device.write(0, new Uint8Array(new SharedArrayBuffer(512))),
      () => device.discard({ offsetBytes: 1, lengthBytes: 512 }),
      () => device.discard({ offsetBytes: 0 } as never),
      () => device.zeroOut({ offsetBytes: 0, lengthBytes: 513 }),
      () => device.zeroOut({ offsetBytes: 0, length: 512 } as never),
      () => device.setReadOnly(1 as never),
      () => reader.write(0, Buffer.alloc(512)),
      () => reader.discard({ offsetBytes: 0, lengthBytes: 512 }),
    ]
    for (const call of refused) await expectCode(call(), 'DM_INVALID_ARGUMENT')
    expect((await device.read(0, MiB)).equals(content)).toBe(true)
    await Promise.all([device.close(), reader.close(), device.close()])
    await expectCode(device.read(0, 512), 'DM_CLOSED')
    await expectCode(device.discard({ offsetBytes: 0, lengthBytes: 512 }), 'DM_CLOSED')
    await expectCode(BlockDevice.open(file), 'DM_INVALID_ARGUMENT')
    await expectCode(BlockDevice.open('/dev/null'), 'DM_INVALID_ARGUMENT')
    await expectCode(BlockDevice.open(scratch.path('none')), 'DM_FILE_MISSING')
  })
})

/** A device over `loop` that takes 50 ms for each read and write: its name and its node. */
function delayed(loop: LoopDevice): [name: string, path: string] {
  const name = scratch.name('slow')
  dmCreate(name, `0 ${loop.info.sizeBytes / 512} delay ${loop.path} 0 50`)
  const node = run('dmsetup', ['info', '-c', '--noheadings', '-o', 'blkdevname', name]).trim()
  return [name, `/dev/${node}`]
}

test('an abort ends a long write and a long read between two parts, and the error states the bytes done', async () => {
  await withLoop(64 * MiB, async loop => {
    const [slow, path] = delayed(loop)
    const device = await BlockDevice.open(path)
    for (const call of [
      (signal: AbortSignal) => device.write(0, alignedBuffer(64 * MiB), { signal }),
      (signal: AbortSignal) => device.write(0, Buffer.alloc(64 * MiB + 1).subarray(1), { signal }),
      (signal: AbortSignal) => device.read(0, 64 * MiB, { signal }),
    ]) {
      const fault = await expectCode(call(AbortSignal.timeout(300)), 'ABORT_ERR')
      const [, done = NaN, all] = /^(\d+) of (\d+) bytes done$/.exec(fault.detail!)!.map(Number)
      expect(all).toBe(64 * MiB)
      expect([done % MiB, done < 64 * MiB]).toEqual([0, true])
    }
    // Closing waits for what is under way.
    const reading = device.read(0, MiB)
    await device.close()
    expect(await reading).toHaveLength(MiB)
    await expectCode(device.size({ signal: AbortSignal.abort() }), 'DM_CLOSED')
    tryRun('udevadm', ['settle'])
    dmRemove(slow)
  })
})

test('a worker that is terminated during a write ends and releases the device', async () => {
  await withLoop(64 * MiB, async loop => {
    const [slow, path] = delayed(loop)
    const library = require.resolve('../../../dist/entry/index.js')
    const source = `
      const { parentPort } = require('node:worker_threads')
      const { BlockDevice, MiB } = require(${JSON.stringify(library)})
      BlockDevice.open(${JSON.stringify(path)}, { exclusive: true }).then(device => {
        void device.write(0, Buffer.alloc(64 * MiB + 1).subarray(1))
        parentPort.postMessage('writing')
      })`
    const worker = new Worker(source, { eval: true })
    await once(worker, 'message')
    await sleep(200)
    await worker.terminate()
    const device = await BlockDevice.open(path, { exclusive: true })
    await device.close()
    tryRun('udevadm', ['settle'])
    dmRemove(slow)
  })
})
