// Bookmarks: what has changed since a snapshot that is deleted; and each case in which the answer would be wrong.
import { copyFileSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { MiB, ThinPool } from '../../../lib/entry/index.js'
import { ThinMetadata } from '../../../lib/entry/metadata.js'
import { SNAPSHOT_LIMIT } from '../../../lib/pool/state/snapshot-clock.js'
import { BookmarkFile } from '../../../lib/pool/bookmark/file.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { seedOf, writeBlock } from '../../helpers/kernel/blocks.js'
import { dmMessage, dmStatus, dmTable } from '../../helpers/kernel/dmsetup.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { bookmark, changed, discard, VOLUME_BYTES, written } from '../../helpers/metadata/bookmark.js'
import { collect } from '../../helpers/metadata/collect.js'
import { thinDelta, thinDump } from '../../helpers/metadata/tools.js'
import { BROKEN, onLinear } from '../../helpers/pool/broken-pool.js'
import { withPool } from '../../helpers/pool/pools.js'
import { run } from '../../helpers/process/spawned.js'

const scratch = useScratch()
const OPTIONS = { dataBytes: 64 * MiB, metadataBytes: 4 * MiB }

const metadataNode = (name: string): string => `/dev/loop${dmTable(name).split(' ')[3]!.slice(2)}`

test('changedSince() returns what has changed since a deleted snapshot, and nothing else', async () => {
  await withPool(OPTIONS, async (pool, { name }) => {
    const volume = await written(pool, 10)
    const base = await volume.snapshot()
    const file = scratch.path('base.bookmark')
    const made = await bookmark(pool, base, file)
    expect(made).toEqual({ bytes: readFileSync(file).length, blocks: 10 })
    expect(await changed(pool, file, volume)).toEqual([])
    await base.delete()
    expect(await changed(pool, file, volume)).toEqual([])

    await writeBlock(volume.path, 2, 102)
    await writeBlock(volume.path, 3, 4)
    await discard(volume, 5, 2)
    await writeBlock(volume.path, 12, 112)
    await discard(volume, 8)
    await writeBlock(volume.path, 8, 108)
    const expected = [
      { type: 'different', begin: 2, length: 2 },
      { type: 'leftOnly', begin: 5, length: 2 },
      { type: 'different', begin: 8, length: 1 },
      { type: 'rightOnly', begin: 12, length: 1 },
    ]
    expect(await changed(pool, file, volume)).toEqual(expected)
    const next = await volume.snapshot()
    await writeBlock(volume.path, 0, 100)
    expect(await changed(pool, file, next, { reserve: false })).toEqual(expected)
    await using metadata = await ThinMetadata.open(pool)
    const part = await collect(metadata.changedSince(file, next.id, { from: 3, to: 6 }))
    expect(part).toEqual([
      { type: 'different', begin: 3, length: 1 },
      { type: 'leftOnly', begin: 5, length: 1 },
    ])
    const dumped = thinDump(metadataNode(name), ['--metadata-snap']).get(next.id)!
    expect(dumped.reduce((sum, { length }) => sum + length, 0)).toBe(9)
    await metadata.close()
  })
})

test('bookmarks and comparisons stay the same while the origin is written, snapshotted and its snapshots are deleted', async () => {
  await withPool({ ...OPTIONS, skipBlockZeroing: true }, async pool => {
    const volume = await written(pool, 30)
    const base = await volume.snapshot()
    const [first, file] = [scratch.path('quiet.bookmark'), scratch.path('churn.bookmark')]
    await bookmark(pool, base, first)
    for (const block of [3, 4, 9, 40]) await writeBlock(volume.path, block, 70)
    const next = await volume.snapshot()
    const expected = await changed(pool, first, next)
    expect(expected).toHaveLength(3)
    const saved = await BookmarkFile.open(first, undefined)
    const mappings = await collect(saved.ranges(undefined))
    await saved.close()

    let isRunning = true
    const churn = async () => {
      for (let round = 0; isRunning; round++) {
        await writeBlock(volume.path, round % 60, 80)
        const other = await volume.snapshot()
        await discard(volume, (round * 7) % 60)
        await pool.commit()
        await other.delete()
      }
    }
    const churning = churn()
    for (let round = 0; round < 20; round++) {
      await bookmark(pool, base, file)
      const again = await BookmarkFile.open(file, undefined)
      expect(await collect(again.ranges(undefined))).toEqual(mappings)
      await again.close()
      expect(await changed(pool, file, next, { reserve: round % 2 === 0 })).toEqual(expected)
    }
    isRunning = false
    await churning
  })
})

test('a bookmark replaces an older one, and a call that fails leaves the older one', async () => {
  await withPool(OPTIONS, async pool => {
    const volume = await written(pool, 3)
    const base = await volume.snapshot()
    const file = scratch.path('again.bookmark')
    await bookmark(pool, base, file)
    const first = readFileSync(file)
    await using metadata = await ThinMetadata.open(pool, { reserve: false })
    const controller = new AbortController()
    const onProgress = () => controller.abort()
    await expectCode(metadata.bookmark(base.id, file, { signal: controller.signal, onProgress }), 'ABORT_ERR')
    await expectCode(metadata.bookmark(99, file), 'DM_VOLUME_NOT_FOUND')
    await expectCode(metadata.bookmark(base.id, ''), 'DM_INVALID_ARGUMENT')
    await expectCode(metadata.bookmark(-1, file), 'DM_INVALID_ARGUMENT')
    await expectCode(collect(metadata.changedSince('', base.id)), 'DM_INVALID_ARGUMENT')
    await expectCode(metadata.bookmark(volume.id, file), 'DM_VOLUME_ACTIVE')
    await expectCode(metadata.bookmark(base.id, scratch.path('none/x')), 'DM_FILE_MISSING')
    await expectCode(collect(metadata.changedSince(scratch.path('none'), base.id)), 'DM_FILE_MISSING')
    expect(readFileSync(file)).toEqual(first)
    const second = await volume.snapshot()
    await metadata.bookmark(second.id, file)
    expect(readFileSync(file)).not.toEqual(first)
    expect(readdirSync(path.dirname(file)).filter(name => name.includes('.partial'))).toEqual([])
    await metadata.close()
  })
})

test('a volume with blocks that it may write in place is refused, and its snapshot is not', async () => {
  await withPool(OPTIONS, async pool => {
    const volume = await written(pool, 3)
    const file = scratch.path('written.bookmark')
    await volume.deactivate()
    const fault = await expectCode(bookmark(pool, volume, file), 'DM_BOOKMARK_INVALID')
    expect(fault).toMatchObject({ detail: 'written-since-snapshot', device: file })
    expect(existsSync(file)).toBe(false)

    const base = await volume.snapshot()
    // The origin was not written since, so that each of its blocks is older than the snapshot too.
    await bookmark(pool, volume, file)
    await base.activate()
    await writeBlock(base.path, 1, 50)
    await base.deactivate()
    const second = await expectCode(bookmark(pool, base, file), 'DM_BOOKMARK_INVALID')
    expect(second).toMatchObject({ detail: 'written-since-snapshot' })
    expect(await changed(pool, file, base)).toEqual([{ type: 'different', begin: 1, length: 1 }])
  })
})

test('B1: discards that a crash has separated from their mappings are not missed: the bookmark is refused', async () => {
  await withPool(OPTIONS, async (pool, { metadataFile, reopen }) => {
    const volume = await written(pool, 4)
    const base = await volume.snapshot()
    const file = scratch.path('crash.bookmark')
    await bookmark(pool, base, file)
    await base.delete()
    await pool.commit()
    const committed = scratch.path('committed')
    copyFileSync(metadataFile, committed)
    await discard(volume, 0, 4)
    expect(await changed(pool, file, volume)).toEqual([{ type: 'leftOnly', begin: 0, length: 4 }])
    await pool.remove({ deactivate: true })
    // A crash after the data device had received the discard, and before the metadata was committed.
    copyFileSync(committed, metadataFile)

    const again = await ThinPool.open(reopen)
    const after = await (await again.volume(volume.id, { sizeBytes: VOLUME_BYTES })).activate({ readOnly: true })
    // The danger is real: the same values, and other contents.
    await using metadata = await ThinMetadata.open(again, { reserve: false })
    const saved = await BookmarkFile.open(file, undefined)
    expect(await collect(metadata.mappings(volume.id))).toEqual(await collect(saved.ranges(undefined)))
    await saved.close()
    expect(await seedOf(after.path, 1, [2])).toBe('zero')
    const fault = await expectCode(collect(metadata.changedSince(file, volume.id)), 'DM_BOOKMARK_INVALID')
    expect(fault).toMatchObject({ detail: 'pool-start', device: file })
    await metadata.close()
    await again.close()
  })
})

test('B2: a rollback under the same id is compared by its values', async () => {
  await withPool(OPTIONS, async pool => {
    const volume = await written(pool, 6)
    const early = await volume.snapshot()
    await writeBlock(volume.path, 1, 51)
    const base = await volume.snapshot()
    const file = scratch.path('rollback.bookmark')
    await bookmark(pool, base, file)
    await base.delete()
    await writeBlock(volume.path, 4, 54)
    await volume.destroy()
    const back = await (await early.snapshot({ id: volume.id })).activate()
    expect(await changed(pool, file, back)).toEqual([{ type: 'different', begin: 1, length: 1 }])
    await writeBlock(back.path, 1, 51)
    await writeBlock(back.path, 5, 55)
    expect(await changed(pool, file, back)).toEqual([
      { type: 'different', begin: 1, length: 1 },
      { type: 'different', begin: 5, length: 1 },
    ])
  })
})

test('B3: a snapshot whose commit has failed gets no bookmark, and a pool that rolled back refuses those it has', async () => {
  scratch.log.allow(...BROKEN)
  await onLinear(scratch, async ({ pool, volume, metadataFile, breakMetadata, repairMetadata }) => {
    const base = await volume.snapshot()
    const [file, never] = [scratch.path('broken.bookmark'), scratch.path('never.bookmark')]
    await bookmark(pool, base, file)
    const [reserved, live] = [await ThinMetadata.open(pool), await ThinMetadata.open(pool, { reserve: false })]
    try {
      expect(await collect(reserved.changedSince(file, base.id))).toEqual([])
      const loop = run('losetup', ['--noheadings', '--output', 'NAME', '--associated', metadataFile]).trim()
      // Reads work, writes fail: the kernel accepts the snapshot, cannot commit it, and rolls back.
      breakMetadata(`0 8192 flakey ${loop} 0 0 3600 1 error_writes`)
      dmMessage(pool.name, `create_snap 77 ${base.id}`)
      expect(dmStatus(pool.name)).toContain('needs_check')
      await expectCode(live.bookmark(77, never), 'DM_NOT_COMMITTED')
      const fault = await expectCode(collect(reserved.changedSince(file, base.id)), 'DM_BOOKMARK_INVALID')
      expect(fault).toMatchObject({ detail: 'needs-check' })
      expect(await expectCode(reserved.bookmark(base.id, never), 'DM_BOOKMARK_INVALID')).toMatchObject({
        detail: 'needs-check',
      })
      expect(existsSync(never)).toBe(false)
    } finally {
      await live.close()
      await reserved.close().catch(() => {})
      repairMetadata()
    }
  })
})

test('B4: near the end of the snapshot clock, bookmarks are neither made nor compared', async () => {
  await withPool(OPTIONS, async (pool, { name, metadataFile, reopen }) => {
    const volume = await written(pool, 2)
    await pool.remove({ deactivate: true })
    const xml = scratch.path('clock.xml')
    run('thin_dump', ['-o', xml, metadataFile])
    const near = SNAPSHOT_LIMIT - 2
    writeFileSync(xml, readFileSync(xml, 'utf8').replace(/(<superblock[^>]* time=)"\d+"/, `$1"${near}"`))
    run('thin_restore', ['-i', xml, '-o', metadataFile])

    const again = await ThinPool.open(reopen)
    const origin = await again.volume(volume.id, { sizeBytes: VOLUME_BYTES })
    const base = await origin.snapshot()
    const file = scratch.path('clock.bookmark')
    await bookmark(again, base, file)
    expect(await changed(again, file, origin)).toEqual([])
    dmMessage(name, `create_snap 70 ${origin.id}`)
    for (const call of [() => changed(again, file, origin), () => bookmark(again, base, scratch.path('late'))]) {
      expect(await expectCode(call(), 'DM_BOOKMARK_INVALID')).toMatchObject({ detail: 'clock-limit' })
    }
    expect(existsSync(scratch.path('late'))).toBe(false)
    await again.close()
  })
})

test('B6: a bookmark of another pool is refused, and so is one of metadata that is at rest', async () => {
  await withPool(OPTIONS, async pool => {
    const base = await (await written(pool, 2)).snapshot()
    const file = scratch.path('other.bookmark')
    await bookmark(pool, base, file)
    await withPool(OPTIONS, async (other, { metadataFile }) => {
      const volume = await written(other, 2)
      expect(await expectCode(changed(other, file, volume), 'DM_BOOKMARK_INVALID')).toMatchObject({
        detail: 'pool-start',
      })
      await other.remove({ deactivate: true })
      await using metadata = await ThinMetadata.open(metadataFile)
      await expectCode(collect(metadata.changedSince(file, volume.id)), 'DM_UNSUPPORTED')
      await expectCode(metadata.bookmark(volume.id, file), 'DM_UNSUPPORTED')
      await metadata.close()
    })
  })
})

test('a pool that another program has started makes no bookmarks', async () => {
  await withPool(OPTIONS, async (pool, { name, dataFile, metadataFile }) => {
    const volume = await written(pool, 2)
    const base = await volume.snapshot()
    const table = dmTable(name)
    await pool.remove({ deactivate: true })
    const loops = [metadataFile, dataFile].map(each => run('losetup', ['--find', '--show', each]).trim())
    const words = table.split(' ')
    run('dmsetup', [
      'create',
      '--noudevsync',
      name,
      '--table',
      [...words.slice(0, 3), ...loops, ...words.slice(5)].join(' '),
    ])
    const foreign = await ThinPool.open(name)
    await expectCode(bookmark(foreign, base, scratch.path('foreign')), 'DM_UNSUPPORTED')
    await foreign.remove({ deactivate: true })
    for (const loop of loops) run('losetup', ['--detach', loop])
  })
})

test('the differences are those of thin_delta, and the file is read from a kept snapshot of the same state', async () => {
  await withPool(OPTIONS, async (pool, { name }) => {
    const volume = await written(pool, 40)
    const base = await volume.snapshot()
    const kept = await base.snapshot()
    const file = scratch.path('oracle.bookmark')
    await bookmark(pool, base, file)
    await base.delete()
    for (const block of [1, 2, 3, 17, 45, 46, 50]) await writeBlock(volume.path, block, 200 + block)
    await discard(volume, 20, 5)
    const metadata = await ThinMetadata.open(pool)
    const expected = thinDelta(metadataNode(name), kept.id, volume.id, ['--metadata-snap'])
    expect(await collect(metadata.changedSince(file, volume.id))).toEqual(
      expected.filter(({ type }) => type !== 'same'),
    )
    await metadata.close()
  })
})
