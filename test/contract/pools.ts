// The pool API on either kernel: what users call, and what is left afterwards.
import { MiB, ThinPool, volumesOf, type MetadataAtRest } from '../../lib/entry/index.js'
import { BLOCK, content, withLoops, withPool, type Case, type PoolAtHand } from './machine.js'
import { NEEDS_CHECK, setFlags } from './at-rest.js'

export const POOLS: readonly Case[] = [
  {
    title: 'create makes sparse metadata of 256 MiB if the file is missing and its size is omitted',
    run: machine => {
      const file = machine.path('metadata')
      const check = async ({ pool, reopen }: PoolAtHand) => {
        expect((await pool.status()).metadata!.totalBytes).toBe(256 * MiB)
        const { sizeBytes, allocatedBytes } = await machine.port.identify(file)
        expect(sizeBytes).toBe(256 * MiB)
        expect(allocatedBytes).toBeLessThan(16 * MiB)
        await pool.remove()
        const again = await ThinPool.open(reopen)
        expect((await again.status()).metadata!.totalBytes).toBe(256 * MiB)
        await again.remove()
        const over = await ThinPool.create({ ...reopen, format: 'overwrite' }) // the size of the file is kept
        expect((await over.status()).metadata!.totalBytes).toBe(256 * MiB)
      }
      return withPool(machine, check, { metadata: { file } })
    },
  },
  {
    title: 'create rejects a name that exists and metadata that is not blank, and format overwrite accepts both',
    run: machine =>
      withPool(machine, async ({ pool, reopen }) => {
        await expect(ThinPool.create({ ...reopen })).rejects.toMatchObject({ code: 'DM_NAME_TAKEN' })
        await pool.createVolume({ sizeBytes: MiB })
        await pool.remove()
        const fault: unknown = await ThinPool.create({ ...reopen }).catch((refusal: unknown) => refusal)
        expect(fault).toMatchObject({ code: 'DM_METADATA_NOT_BLANK' })
        const again = await ThinPool.create({ ...reopen, format: 'overwrite' })
        expect(await again.volumes()).toEqual([])
      }),
  },
  {
    title: 'open adopts a running pool, rejects options that differ, and rejects a name that is not a pool',
    run: machine =>
      withPool(machine, async ({ reopen, name }) => {
        const kernel = machine.kernel && { kernel: machine.kernel }
        expect((await ThinPool.open({ name, ...kernel })).findings).toEqual([])
        const other = ThinPool.open({ ...reopen, lowWaterMarkBlocks: 9 })
        await expect(other).rejects.toMatchObject({ code: 'DM_POOL_MISMATCH' })
        const none = ThinPool.open({ name: machine.name('none'), ...kernel })
        await expect(none).rejects.toMatchObject({ code: 'DM_NOT_FOUND' })
      }),
  },
  {
    title: 'batch calls create snapshots under one suspend, and activate, query and deactivate them',
    run: machine =>
      withPool(machine, async ({ pool }) => {
        const origin = await (await pool.createVolume({ sizeBytes: MiB })).activate()
        await machine.write(origin.path, 0, content(1))
        const copies = volumesOf(await pool.snapshotMany(origin, 5))
        const done: number[] = []
        volumesOf(await pool.activateMany(copies, { onProgress: progress => done.push(progress.done) }))
        expect(done.sort()).toEqual([1, 2, 3, 4, 5])
        const statuses = await pool.statusMany(copies)
        expect(statuses.map(each => each.status === 'fulfilled' && each.value.mappedBytes)).toEqual(
          new Array(5).fill(BLOCK),
        )
        volumesOf(await pool.deactivateMany(copies))
        expect((await pool.volumes()).filter(volume => volume.active)).toHaveLength(1)
      }),
  },
  {
    title: 'deleteMany reports a volume that cannot be deleted, and deletes the others',
    run: machine =>
      withPool(machine, async ({ pool }) => {
        const origin = await (await pool.createVolume({ sizeBytes: MiB })).activate()
        const copies = volumesOf(await pool.snapshotMany(origin, 4))
        const gone = copies[1]!
        await (await pool.volume(gone.id, { sizeBytes: MiB })).delete()
        const done: number[] = []
        const onProgress = (progress: { done: number }) => done.push(progress.done)
        const results = await pool.deleteMany([copies[0]!, origin, gone, ...copies.slice(2)], { onProgress })
        expect(results.map(each => (each.status === 'rejected' ? each.reason.code : each.volume.id))).toEqual([
          copies[0]!.id,
          'DM_VOLUME_ACTIVE',
          'DM_VOLUME_NOT_FOUND',
          copies[2]!.id,
          copies[3]!.id,
        ])
        expect(done).toEqual([1, 2, 3, 4, 5])
        expect((await pool.volumes()).map(({ id }) => id)).toEqual([origin.id])
        const signal = AbortSignal.abort()
        const [last] = await pool.deleteMany([origin], { signal })
        expect(last).toMatchObject({ status: 'rejected', reason: { code: 'ABORT_ERR' } })
        await origin.destroy()
      }),
  },
  {
    title: 'volume() finds active and inactive volumes, and the size of an active one',
    run: machine =>
      withPool(machine, async ({ pool }) => {
        const made = await pool.createVolume({ sizeBytes: MiB, id: 7 })
        await expect((await pool.volume(7)).activate()).rejects.toMatchObject({ code: 'DM_SIZE_UNKNOWN' })
        await made.activate()
        expect(await pool.volume(7)).toMatchObject({ id: 7, active: true, sizeBytes: MiB })
        await expect(pool.volume(8)).rejects.toMatchObject({ code: 'DM_VOLUME_NOT_FOUND' })
      }),
  },
  {
    title: 'createVolume skips ids that exist, also those of other programs',
    run: machine =>
      withPool(machine, async ({ pool, message }) => {
        await message('create_thin 0')
        expect((await pool.createVolume({ sizeBytes: MiB })).id).toBe(1)
        await message('create_thin 2')
        expect((await pool.createVolume({ sizeBytes: MiB })).id).toBe(3)
        await expect(pool.createVolume({ sizeBytes: MiB, id: 2 })).rejects.toMatchObject({ code: 'DM_VOLUME_EXISTS' })
      }),
  },
  {
    title: 'deactivate of a busy volume rejects with DM_BUSY and its holders',
    run: machine =>
      withPool(machine, async ({ pool }) => {
        const volume = await (await pool.createVolume({ sizeBytes: MiB })).activate()
        const close = machine.hold(volume.path)
        const fault: unknown = await volume.deactivate({ timeoutMs: 0 }).catch((refusal: unknown) => refusal)
        expect(fault).toMatchObject({ code: 'DM_BUSY', tries: 1, holders: [{ kind: 'process', pid: process.pid }] })
        close()
      }),
  },
  {
    title: 'setTransactionId rejects with DM_TRANSACTION_MISMATCH and the current id if the expected one is wrong',
    run: machine =>
      withPool(machine, async ({ pool }) => {
        await pool.setTransactionId({ currentId: 0n, newId: 2n ** 64n - 1n })
        expect((await pool.status()).transactionId).toBe(2n ** 64n - 1n)
        const fault: unknown = await pool
          .setTransactionId({ currentId: 0n, newId: 1n })
          .catch((refusal: unknown) => refusal)
        expect(fault).toMatchObject({ code: 'DM_TRANSACTION_MISMATCH', errno: 22, detail: String(2n ** 64n - 1n) })
        await pool.setTransactionId({ currentId: 2n ** 64n - 1n, newId: 0n })
        for (const newId of [-1n, 2n ** 64n, 1 as never]) {
          const refusal = pool.setTransactionId({ currentId: 0n, newId })
          await expect(refusal).rejects.toMatchObject({ code: 'DM_INVALID_ARGUMENT' })
        }
        // Of several who think the same, one is first.
        const race = await Promise.allSettled(
          [1n, 2n, 3n].map(newId => pool.setTransactionId({ currentId: 0n, newId })),
        )
        expect(race.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
      }),
  },
  {
    title:
      'a metadata snapshot can be held once, and its release rejects with DM_METADATA_SNAPSHOT_NOT_HELD if none is held',
    run: machine =>
      withPool(machine, async ({ pool, message }) => {
        const held = async () => (await pool.status()).heldMetadataRoot
        {
          await using snapshot = await pool.reserveMetadataSnapshot()
          expect(await held()).toBe(snapshot.root)
          await expect(pool.reserveMetadataSnapshot()).rejects.toMatchObject({ code: 'DM_METADATA_SNAPSHOT_HELD' })
        }
        expect(await held()).toBeNull()
        const notHeld = { code: 'DM_METADATA_SNAPSHOT_NOT_HELD' }
        await expect(pool.releaseMetadataSnapshot()).rejects.toMatchObject(notHeld)
        const lost = await pool.reserveMetadataSnapshot()
        await message('release_metadata_snap')
        await expect(lost.release()).rejects.toMatchObject(notHeld)
        const last = await pool.reserveMetadataSnapshot()
        await Promise.all([last.release(), last.release()])
        await last.release()
        await pool.reserveMetadataSnapshot()
        await pool.releaseMetadataSnapshot()
        expect(await held()).toBeNull()
      }),
  },
  {
    title: 'remove reports what it removed, and leaves nothing behind',
    run: machine =>
      withPool(machine, async ({ pool, name, reopen, numbers }) => {
        const volume = await (await pool.createVolume({ sizeBytes: MiB })).activate()
        const removed = await pool.remove({ deactivate: true, deleteFiles: true })
        const loops = [numbers.data, numbers.metadata].map(number => `/dev/loop${number.slice(2)}`)
        expect(removed).toMatchObject({ pool: name, volumes: [volume.name], loops })
        await expect(ThinPool.open({ ...reopen })).rejects.toMatchObject({ code: 'DM_FILE_MISSING' })
      }),
  },
  {
    title:
      'a pool that needs a check is started read-only with a finding, and a check before the start can clear the flag',
    run: machine =>
      withPool(machine, async ({ pool, reopen }) => {
        expect(pool.findings).toEqual([])
        await pool.remove()
        await setFlags(machine, reopen, NEEDS_CHECK)
        const found = [{ kind: 'needs-check', device: pool.name, action: 'none' }]
        const again = await ThinPool.open({ ...reopen })
        expect(again.findings).toEqual(found)
        expect(await again.status()).toMatchObject({ mode: 'ro', needsCheck: true })
        const adopted = await ThinPool.open({
          ...reopen,
          repair: false,
          check: () => Promise.reject(new Error('called')),
        })
        expect(adopted.findings).toEqual(found)
        await again.remove()

        const asked: unknown[] = []
        const check = async ({ path, needsCheck }: MetadataAtRest) => {
          asked.push([path.startsWith('/dev/loop'), needsCheck])
          await setFlags(machine, reopen, 0)
        }
        const checked = await ThinPool.open({ ...reopen, check })
        expect(asked).toEqual([[true, true]])
        expect(checked.findings).toEqual([])
        expect(await checked.status()).toMatchObject({ mode: 'rw', needsCheck: false })
      }),
  },
  {
    title: 'open with a quick check rejects metadata that needs a check, and starts a pool without a fault',
    run: machine =>
      withPool(machine, async ({ pool, reopen, name }) => {
        await pool.remove()
        await (await ThinPool.open({ ...reopen, check: 'quick' })).remove()
        await setFlags(machine, reopen, NEEDS_CHECK)
        const refused = ThinPool.open({ ...reopen, check: 'quick' })
        await expect(refused).rejects.toMatchObject({ code: 'DM_CHECK_FAILED', detail: 'needs-check' })
        await expect(machine.port.deviceStatus({ name })).rejects.toMatchObject({ code: 'DM_NOT_FOUND' })
        await setFlags(machine, reopen, 0)
        await (await ThinPool.open({ ...reopen, check: 'quick' })).status()
      }),
  },
  {
    title: 'open rejects with DM_CHECK_FAILED if the check throws, and does not start the pool',
    run: machine =>
      withPool(machine, async ({ pool, reopen, name }) => {
        await pool.remove()
        const cause = new Error('damaged')
        const check = () => Promise.reject(cause)
        await expect(ThinPool.open({ ...reopen, check })).rejects.toMatchObject({ code: 'DM_CHECK_FAILED', cause })
        await expect(machine.port.deviceStatus({ name })).rejects.toMatchObject({ code: 'DM_NOT_FOUND' })
        await (await ThinPool.open({ ...reopen, check: () => {} })).status()
      }),
  },
  {
    title:
      'create rejects data with a signature, in a file or device, and leaves it unchanged; format overwrite accepts it',
    run: machine =>
      withLoops(machine, [16 * BLOCK, 4 * MiB], async (numbers, files) => {
        const [data = '', metadata = ''] = numbers.map(number => `/dev/loop${number.split(':')[1]}`)
        await machine.write(files[0]!, 4096 - 10, Buffer.from('SWAPSPACE2'))
        const kernel = machine.kernel && { kernel: machine.kernel }
        const options = {
          name: machine.name('pool'),
          data: { device: data },
          metadata: { device: metadata },
          ...kernel,
        }
        await expect(ThinPool.create(options)).rejects.toMatchObject({ code: 'DM_SIGNATURE_FOUND', detail: 'swap' })
        expect(Buffer.from(await machine.read(files[0]!, 4096 - 10, 10)).toString()).toBe('SWAPSPACE2')
        await expect(machine.port.deviceStatus({ name: options.name })).rejects.toMatchObject({ code: 'DM_NOT_FOUND' })
        await ThinPool.create({ ...options, format: 'overwrite' })
        await machine.port.remove({ name: options.name }, 5_000)
      }),
  },
  {
    title: 'a pool whose file was enlarged is started with its recorded size, and grow() extends it',
    run: machine =>
      withPool(machine, async ({ pool, reopen }) => {
        const { file } = reopen.data as { readonly file: string }
        await pool.remove()
        await machine.port.growFile(file, 64 * BLOCK)
        const again = await ThinPool.open({ ...reopen })
        expect((await again.status()).data).toMatchObject({ totalBlocks: 16 })
        await again.grow({ dataBytes: 64 * BLOCK })
        await again.remove()
        const grown = await ThinPool.open({ ...reopen })
        expect((await grown.status()).data).toMatchObject({ totalBlocks: 64 })
      }),
  },
]
