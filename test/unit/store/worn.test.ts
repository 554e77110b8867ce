// A store on a pool that makes no snapshots any more: what needs one is refused with its own code, and leaves nothing.
import { SNAPSHOT_LIMIT } from '../../../lib/pool/state/snapshot-clock.js'
import { prepare } from '../../../lib/store/layers/prepare.js'
import { recover } from '../../../lib/store/recovery/recover.js'
import { withMemoryStore } from '../../helpers/store/memory-store.js'

const WORN = { code: 'DM_POOL_WORN' }

test('new layers, views and warm layers are rejected at the snapshot limit, and removal works', () =>
  withMemoryStore(
    async ({ store, committed }) => {
      const base = await committed('base')
      for (const kind of ['active', 'view'] as const) {
        await expect(prepare(store, { kind, key: 'a', parent: 'base', options: {} })).rejects.toMatchObject(WORN)
      }
      await expect(store.warm.keep('base', 2)).rejects.toMatchObject(WORN)
      await expect(store.volumes.copy(base, { ...base, thin: base.thin + 1 })).rejects.toMatchObject(WORN)
      expect(store.records.all().map(({ key }) => key)).toEqual(['base'])
      expect((await store.pool.volumes()).map(({ id }) => id)).toEqual([base.thin])
      expect(await recover(store)).toEqual([])
      await store.removals.abandon([base], 'ready')
      expect(await store.removals.drain()).toEqual([])
      expect(await store.pool.volumes()).toEqual([])
    },
    { snapshots: SNAPSHOT_LIMIT },
  ))

test('the last snapshot before the limit succeeds, and the status counts the snapshots that are left', () =>
  withMemoryStore(
    async ({ store, committed }) => {
      await committed('base')
      expect((await store.pool.status()).snapshots).toMatchObject({ left: 1 })
      await prepare(store, { kind: 'active', key: 'last', parent: 'base', options: {} })
      await expect(prepare(store, { kind: 'view', key: 'next', parent: 'base', options: {} })).rejects.toMatchObject(
        WORN,
      )
      expect((await store.pool.status()).snapshots).toMatchObject({ left: 0 })
      expect(store.records.byKey('last')?.state).toBe('ready')
      expect(store.records.has('next')).toBe(false)
    },
    { snapshots: SNAPSHOT_LIMIT - 1 },
  ))
