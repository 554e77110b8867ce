// A snapshot that several processes, and other programs, have open at the same time.
import { closeSync, existsSync, openSync, readSync } from 'node:fs'
import { setTimeout as after } from 'node:timers/promises'
import { ThinPool, type ThinVolume } from '../../../lib/entry/index.js'
import { receiveVolume, sendVolume } from '../../../lib/entry/transfer.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { written } from '../../helpers/metadata/bookmark.js'
import { withPool } from '../../helpers/pool/pools.js'
import { startChild } from '../../helpers/process/children.js'
import { bytesOf, pieces, sha256 } from '../../helpers/transfer/volumes.js'

const scratch = useScratch()

/** Waits until the kernel has removed a device. */
async function untilInactive(volume: ThinVolume): Promise<void> {
  while (await volume.refresh()) await after(5)
}

test('two processes that send one snapshot again and again send all of it each time, and leave it inactive', async () => {
  await withPool(async pool => {
    const base = await (await written(pool, 8)).snapshot()
    const expected = (await bytesOf(await sendVolume(pool, base))).toString('base64')
    const send = `
      const { sendVolume } = require('./dist/entry/transfer.js')
      const pool = await dmThin.ThinPool.open({ name: ${JSON.stringify(pool.name)} })
      const base = await pool.volume(${base.id}, { sizeBytes: ${base.sizeBytes} })
      const sent = new Set()
      for (let times = 0; times < 40; times++) {
        const pieces = []
        for await (const piece of await sendVolume(pool, base)) pieces.push(piece)
        sent.add(Buffer.concat(pieces).toString('base64'))
      }
      return [...sent]`
    const children = [startChild(send), startChild(send)]
    for (const { result } of children) expect(await result).toEqual({ value: [expected] })
    await untilInactive(base)
  })
})

test('a stream ends while another program has the device open, and the kernel removes the device at the last close', async () => {
  await withPool(async pool => {
    const base = await (await written(pool, 8)).snapshot()
    const stream = await sendVolume(pool, base)
    const { path } = base
    const other = openSync(path, 'r')
    try {
      await bytesOf(stream)
      expect(await base.refresh()).toBe(true)
      // The other one reads on, and nobody else gets the volume.
      expect(readSync(other, Buffer.alloc(4096))).toBe(4096)
      await expectCode(base.activate(), 'DM_ALREADY_ACTIVE')
      // Another stream uses the same device, and does not end it either.
      await bytesOf(await sendVolume(pool, base))
      expect(await base.refresh()).toBe(true)
    } finally {
      closeSync(other)
    }
    await untilInactive(base)
    while (existsSync(path)) await after(5)
    await base.activate()
    await base.deactivate()
  })
})

test('a snapshot that another process has activated is active after streams that overlap with its use', async () => {
  await withPool(async pool => {
    const base = await (await written(pool, 4)).snapshot()
    await (
      await ThinPool.open({ name: pool.name })
    )
      .volume(base.id)
      .then(other => other.activate({ readOnly: true, sizeBytes: base.sizeBytes! }))
    await Promise.all([bytesOf(await sendVolume(pool, base)), bytesOf(await sendVolume(pool, base))])
    expect(await base.refresh()).toBe(true)
    await base.deactivate()
  })
})

test('a snapshot is deleted as soon as its stream is closed', async () => {
  await withPool(async pool => {
    const volume = await written(pool, 2)
    for (let times = 0; times < 20; times++) {
      const base = await volume.snapshot()
      await bytesOf(await sendVolume(pool, base))
      await base.delete()
    }
  })
})

test('a base is received upon while another process sends it', async () => {
  const record = scratch.path('to.json')
  await withPool(async from =>
    withPool({ record }, async to => {
      const volume = await written(from, 4)
      const monday = await volume.snapshot()
      const base = await receiveVolume(to, await sendVolume(from, monday))
      const tuesday = await volume.snapshot()
      const changes = await bytesOf(await sendVolume(from, tuesday, { from: monday }))
      const child = startChild(`
        const { sendVolume } = require('./dist/entry/transfer.js')
        const pool = await dmThin.ThinPool.open({ name: ${JSON.stringify(to.name)} })
        const base = await pool.volume(${base.id}, { sizeBytes: ${base.sizeBytes} })
        let isOver = false
        process.stdin.once('data', () => (isOver = true))
        console.log('begins')
        while (!isOver) for await (const piece of await sendVolume(pool, base)) void piece
        process.stdin.unref()
        return true`)
      await child.saw('begins')
      for (let times = 0; times < 10; times++) {
        const next = await receiveVolume(to, pieces(changes), { base })
        expect(await sha256(next)).toBe(await sha256(tuesday))
        await next.delete()
      }
      child.process.stdin!.write('.')
      expect(await child.result).toEqual({ value: true })
    }),
  )
})
