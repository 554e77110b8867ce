// The recovery of a reset: every state in which a process that dies leaves the pool and the device, and what the layer has
// afterwards. The layer's volume and the copy are told apart by their first bytes.
import { createSnapshot, moveToSnapshot, renumber } from '../../../lib/pool/volume/move-volume.js'
import { endReset } from '../../../lib/store/engine/reset-end.js'
import type { Row } from '../../../lib/store/records/row.js'
import { recover } from '../../../lib/store/recovery/recover.js'
import { withMemoryStore, type MemoryStore } from '../../helpers/store/memory-store.js'

/** Nobody has its lock. */
const DEAD = 'dead'

interface Scene extends MemoryStore {
  readonly source: Row
  /** The layer, whose reset a dead process has begun. */
  readonly row: Row
  readonly copy: Row
  readonly former: Row
  /** The path of the layer's device. */
  readonly path: string
}

/** What the process had done before it died, after its intent was recorded. */
type Done = (scene: Scene) => Promise<unknown>

const moved: Done = async ({ store, row, source, copy }) => {
  const volume = await store.volumes.of(row)
  await moveToSnapshot(volume.state, { originId: source.thin, id: copy.thin })
}
const renumbered: Done = async scene => {
  await moved(scene)
  await renumber(scene.store.pool.context, scene.row.thin, scene.former.thin)
}
const returned: Done = async scene => {
  await renumbered(scene)
  const volume = await scene.store.volumes.of(scene.row)
  await moveToSnapshot(volume.state, { originId: scene.copy.thin, id: scene.row.thin })
}
/** Each of them is also tried without the device, as after a loss of power. */
const STATES: Record<
  string,
  { readonly done: Done; readonly ends: 'undone' | 'completed'; readonly gone?: 'completed' }
> = {
  'its intent was recorded': { done: async () => {}, ends: 'undone' },
  'the copy was made, and the device was not moved': {
    done: ({ store, source, copy }) => createSnapshot(store.pool.context, source.thin, copy.thin),
    ends: 'undone',
    gone: 'completed',
  },
  'the device has the copy': { done: moved, ends: 'completed' },
  'the device has the copy, and the former content two ids': {
    done: async scene => {
      await moved(scene)
      await createSnapshot(scene.store.pool.context, scene.row.thin, scene.former.thin)
    },
    ends: 'completed',
  },
  "the device has the copy, and the layer's volume was deleted": { done: renumbered, ends: 'completed' },
  'the device has the copy, of which the layer has a snapshot': {
    done: async scene => {
      await renumbered(scene)
      await createSnapshot(scene.store.pool.context, scene.copy.thin, scene.row.thin)
    },
    ends: 'completed',
  },
  'the device has the layer again': { done: returned, ends: 'completed' },
}

const text = async ({ kernel }: MemoryStore, path: string): Promise<string> =>
  Buffer.from(await kernel.read(path, 0, 3)).toString()

async function withReset(body: (scene: Scene) => Promise<void>): Promise<void> {
  await withMemoryStore(async memory => {
    const { store, insert, kernel, committed } = memory
    const source = await committed('new')
    const filled = await (await store.volumes.of(source)).activate()
    await kernel.write(filled.path, 0, Buffer.from('new'))
    await filled.deactivate()
    const old = await committed('old')
    const layer = { key: 'layer', state: 'committing', parent: old.id, owner: DEAD } as const
    const row = await insert(layer)
    const copy = await insert({ owner: DEAD, parent: source.id, resets: row.id })
    const former = await insert({ owner: DEAD, parent: old.id })
    const volume = await store.pool.createVolume({ id: row.thin, sizeBytes: row.sizeBytes })
    await volume.activate()
    await kernel.write(volume.path, 0, Buffer.from('old'))
    await body({ ...memory, source, row, copy, former, path: volume.path })
  })
}

const CONTENT = { undone: 'old', completed: 'new' }

/** The layer is ready, with the content and the parent of this end, and nothing else is left. */
async function expectEnded(scene: Scene, end: 'undone' | 'completed', path: string): Promise<void> {
  const { store, row } = scene
  expect(await store.removals.drain()).toEqual([])
  expect(await text(scene, path)).toBe(CONTENT[end])
  const now = store.records.byKey('layer')!
  expect(now).toMatchObject({ state: 'ready', owner: null, thin: row.thin, kind: 'active', parentKey: CONTENT[end] })
  const rows = store.records.all()
  expect(rows.map(({ key }) => key)).toEqual(['new', 'old', 'layer'])
  expect((await store.pool.volumes()).map(({ id }) => id)).toEqual(rows.map(({ thin }) => thin).sort((a, b) => a - b))
  expect(await recover(store)).toEqual([])
}

describe.each(Object.entries(STATES))('a reset whose process died when %s', (_, { done, ends, gone = ends }) => {
  const found = (scene: Scene, action: string) => ({ kind: 'unfinished', key: 'layer', thin: scene.row.thin, action })

  test(`is ${ends} when the store is opened`, () =>
    withReset(async scene => {
      await done(scene)
      const findings = await recover(scene.store)
      expect(findings.filter(({ key }) => key !== undefined)).toEqual([found(scene, ends)])
      await expectEnded(scene, ends, scene.path)
    }))

  test(`is ${gone} when the store is opened after a loss of power`, () =>
    withReset(async scene => {
      const { store, row } = scene
      await done(scene)
      await (await store.volumes.of(row)).deactivate()
      const findings = await recover(store)
      expect(findings.filter(({ key }) => key !== undefined)).toEqual([found(scene, gone)])
      const volume = await (await store.volumes.of(row)).activate()
      await expectEnded(scene, gone, volume.path)
    }))
})

test('a layer that is being reset prevents the removal of the layer whose content it gets', () =>
  withReset(async ({ store, source, row }) => {
    expect(store.records.childOf(source.id)).toMatchObject({ id: row.id, key: 'layer' })
  }))

test('a reset that cannot be ended is reported with its error, and ended later', () =>
  withReset(async scene => {
    const { kernel, store } = scene
    await renumbered(scene)
    kernel.fail('DM_TABLE_LOAD', 'EIO')
    const [first] = await recover(store)
    expect(first).toMatchObject({
      kind: 'unfinished',
      key: 'layer',
      action: 'none',
      error: { code: 'DM_TABLE_REFUSED' },
    })
    expect(await text(scene, scene.path)).toBe('new')
    expect(store.records.byKey('layer')).toMatchObject({ state: 'committing', owner: store.owner.id })
    const copy = store.records.resetOf(scene.row.id)!
    expect(await endReset(store, { row: store.records.byKey('layer')!, copy })).toBe('completed')
    await expectEnded(scene, 'completed', scene.path)
  }))
