// The base of an incremental stream: what was done to it since, by this library and by others, without a walk of its
// mappings; and results that are left active.
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { writeFileSync } from 'node:fs'
import { ThinPool } from '../../../lib/entry/index.js'
import { receiveVolume } from '../../../lib/entry/transfer.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { writeBlock } from '../../helpers/kernel/blocks.js'
import { dmInfo } from '../../helpers/kernel/dmsetup.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { discard } from '../../helpers/metadata/bookmark.js'
import { run } from '../../helpers/process/spawned.js'
import { othersIn, withScene, type Scene } from '../../helpers/transfer/scene.js'
import { onDevice, pieces, sha256 } from '../../helpers/transfer/volumes.js'

const scratch = useScratch()
let counter = 0

const inScene = (body: (scene: Scene) => Promise<void>) => withScene(scratch.path(`base-${++counter}.json`), body)

/** Counts the walks of mappings while `body` runs. */
async function walksOf(body: () => Promise<unknown>): Promise<number> {
  let walks = 0
  const count = (message: unknown) => {
    if ((message as { call: string }).call === 'metadataWalk') walks++
  }
  subscribe('tracing:dm-thin:call:start', count)
  try {
    await body()
  } finally {
    unsubscribe('tracing:dm-thin:call:start', count)
  }
  return walks
}

test('the mappings of a base are read only if it was activated for writing since, or if that is asked for', () =>
  inScene(async ({ to, base, changes, expected }) => {
    const stream = await changes()
    const received = (options = {}) =>
      walksOf(async () => {
        const copy = await receiveVolume(to, pieces(stream), { base, ...options })
        expect(await sha256(copy)).toBe(expected)
        await copy.delete()
      })
    expect(await received()).toBe(0)
    await onDevice(base, () => {})
    await (await base.snapshot()).delete()
    expect(await received()).toBe(0)
    expect(await received({ verifyBase: true })).toBe(1)
    await base.activate()
    await base.deactivate()
    expect(await received()).toBe(1)
  }))

test('a base that is active for writing, or mounted, is refused by whoever activated it', () =>
  inScene(async scene => {
    const { to, base, changes } = scene
    const stream = await changes()
    await base.activate()
    await expectCode(receiveVolume(to, pieces(stream), { base }), 'DM_VOLUME_ACTIVE')
    await base.deactivate()
    const sectors = base.sizeBytes! / 512
    const name = scratch.name('foreign')
    run('dmsetup', ['create', name, '--table', `0 ${sectors} thin ${dmInfo(to.name)!.number} ${base.id}`])
    await expectCode(receiveVolume(to, pieces(stream), { base }), 'DM_VOLUME_ACTIVE')
    run('dmsetup', ['remove', name])
    expect(await othersIn(scene)).toEqual({ unfinished: [], complete: [], notRecorded: [] })
  }))

test.each([
  ['writes a block', (path: string) => writeBlock(path, 3, 99)],
  ['writes a new block', (path: string) => writeBlock(path, 40, 99)],
])('a base is refused if another program, without the record, %s', (_, change) =>
  inScene(async scene => {
    const { to, base, changes } = scene
    const stream = await changes()
    const other = await ThinPool.open(to.name)
    const volume = await (await other.volume(base.id, { sizeBytes: base.sizeBytes! })).activate()
    await change(volume.path)
    await volume.deactivate()
    await other.close()
    const fault = await expectCode(receiveVolume(to, pieces(stream), { base }), 'DM_TRANSFER_INVALID')
    expect(fault).toMatchObject({ detail: 'base-modified' })
    expect(await othersIn(scene)).toEqual({ unfinished: [], complete: [], notRecorded: [] })
  }),
)

test('a base is refused if it was created again with its id, and if a block was discarded', () =>
  inScene(async ({ to, record, base, changes }) => {
    const stream = await changes()
    const refused = async () => {
      const fault = await expectCode(receiveVolume(to, pieces(stream), { base }), 'DM_TRANSFER_INVALID')
      expect(fault).toMatchObject({ detail: 'base-modified' })
    }
    await base.activate()
    await discard(base, 5)
    await base.deactivate()
    await refused()
    const recorded = run('cat', [record])
    const copy = await base.snapshot()
    await base.delete()
    await copy.snapshot({ id: base.id })
    writeFileSync(record, recorded) // as if another program had done it
    await refused()
  }))

test('a received volume is left active if that is asked for, and nothing is left if that fails', () =>
  inScene(async scene => {
    const { to, base, changes, expected } = scene
    const stream = await changes()
    const copy = await receiveVolume(to, pieces(stream), { base, activate: true, readOnly: true })
    expect(await copy.refresh()).toBe(true)
    await expect(writeBlock(copy.path, 0, 1)).rejects.toMatchObject({ code: 'EPERM' })
    expect(run('sha256sum', [copy.path]).split(' ')[0]).toBe(expected)
    const fault = receiveVolume(to, pieces(stream), { base, activate: true, name: copy.name })
    await expectCode(fault, 'DM_NAME_TAKEN')
    await copy.destroy()
    expect(await othersIn(scene)).toEqual({ unfinished: [], complete: [], notRecorded: [] })
    const second = await receiveVolume(to, pieces(stream), { base, activate: true })
    await writeBlock(second.path, 0, 1)
    await second.destroy()
  }))
