// The calls of a pool that two processes make at the same time, and the codes with which each may be rejected because of the
// other. `changes`: it may change whether a volume of the scene is active. `deletes`: the id of the volume that it deletes.
// `exclusive`: it holds the exclusive lock while it reads.
'use strict'

/** The pool is gone, or was replaced by another. */
const GONE = ['DM_NOT_FOUND']
/** The volume was deleted. */
const DELETED = [...GONE, 'DM_VOLUME_NOT_FOUND']
const ACTIVE = [...DELETED, 'DM_ALREADY_ACTIVE', 'DM_NAME_TAKEN']
const CREATE = ['DM_NAME_TAKEN', 'DM_METADATA_NOT_BLANK', 'DM_FILE_ATTACHED', 'DM_FILE_SIZE']
const OPEN = [...GONE, 'DM_FILE_MISSING']
const START = [...OPEN, 'DM_FILE_ATTACHED', 'DM_METADATA_BLANK', 'DM_BUSY']

module.exports = ({ MiB, ThinPool, volumesOf }) => {
  const SIZE = { sizeBytes: MiB }
  const idsOf = volumes => volumes.map(({ id }) => id)
  /** Opens the pool. Nothing has crashed, so there is nothing to find. */
  const open = async options => {
    const pool = await ThinPool.open(options)
    if (pool.findings.length > 0) throw new Error(`open found ${JSON.stringify(pool.findings)}`)
    return pool
  }
  /** The volumes that a call made are returned by their ids. */
  const RUNNING = {
    create: { exclusive: true, codes: CREATE, run: async ({ options }) => void (await ThinPool.create(options)) },
    open: { exclusive: true, codes: OPEN, run: async ({ options }) => void (await open(options)) },
    'open by name': {
      exclusive: true,
      codes: OPEN,
      run: async ({ options }) => void (await open({ name: options.name })),
    },
    'grow data': { exclusive: true, codes: GONE, run: ({ pool }, { dataBytes }) => pool.grow({ dataBytes }) },
    'grow metadata': {
      exclusive: true,
      codes: GONE,
      run: ({ pool }, { metadataBytes }) => pool.grow({ metadataBytes }),
    },
    remove: {
      exclusive: true,
      codes: [...GONE, 'DM_POOL_IN_USE', 'DM_BUSY'],
      run: async ({ pool }) => void (await pool.remove({ deactivate: true })),
    },
    'remove with its files': {
      exclusive: true,
      codes: [...GONE, 'DM_POOL_IN_USE', 'DM_BUSY'],
      run: async ({ pool }) => void (await pool.remove({ deactivate: true, deleteFiles: true })),
    },
    'grow a volume': {
      exclusive: true,
      codes: [...DELETED, 'DM_NOT_ACTIVE'],
      run: ({ origin }, { volumeBytes }) => origin.grow({ sizeBytes: volumeBytes }),
    },
    createVolume: { codes: GONE, run: async ({ pool }) => [(await pool.createVolume(SIZE)).id] },
    activate: { changes: true, codes: ACTIVE, run: async ({ idle }) => void (await idle.activate()) },
    deactivate: { changes: true, codes: GONE, run: ({ origin }) => origin.deactivate() },
    snapshot: { codes: DELETED, run: async ({ origin }) => [(await origin.snapshot()).id] },
    'snapshot and activate': {
      codes: ACTIVE,
      run: async ({ origin }) => [(await origin.snapshot({ activate: true })).id],
    },
    snapshotMany: {
      codes: DELETED,
      run: async ({ pool, origin }) => idsOf(volumesOf(await pool.snapshotMany(origin, 2))),
    },
    fork: { codes: ACTIVE, run: async ({ pool, origin }) => idsOf(await pool.fork(origin, 2)) },
    activateMany: {
      changes: true,
      codes: ACTIVE,
      run: async ({ pool, idle }) => void volumesOf(await pool.activateMany([idle])),
    },
    deactivateMany: {
      changes: true,
      codes: GONE,
      run: async ({ pool, origin }) => void volumesOf(await pool.deactivateMany([origin])),
    },
    delete: { deletes: 1, codes: [...DELETED, 'DM_VOLUME_ACTIVE'], run: ({ idle }) => idle.delete() },
    destroy: { changes: true, deletes: 0, codes: DELETED, run: ({ origin }) => origin.destroy() },
    deleteMany: {
      deletes: 1,
      codes: [...DELETED, 'DM_VOLUME_ACTIVE'],
      run: async ({ pool, idle }) => void volumesOf(await pool.deleteMany([idle])),
    },
    queries: {
      codes: [...GONE, 'DM_METADATA_BUSY'],
      run: async ({ pool, origin }) => {
        await pool.status()
        await pool.metrics()
        await pool.volumes()
        await pool.usage()
        await origin.refresh()
        await pool.statusMany([origin])
      },
    },
    bookmark: {
      codes: [
        ...DELETED,
        'DM_BOOKMARK_INVALID',
        'DM_METADATA_BUSY',
        'DM_METADATA_SNAPSHOT_HELD',
        'DM_METADATA_SNAPSHOT_NOT_HELD',
      ],
      run: async ({ pool, origin }) => {
        const file = `/tmp/${pool.name}-${process.pid}.bookmark`
        try {
          await origin.bookmark(file)
          for await (const range of origin.changedSince(file)) void range
        } finally {
          require('node:fs').rmSync(file, { force: true })
        }
      },
    },
    'set the transaction id': {
      codes: [...GONE, 'DM_TRANSACTION_MISMATCH'],
      run: ({ pool }) => pool.setTransactionId({ currentId: 0n, newId: 1n }),
    },
    'metadata snapshot': {
      codes: [...GONE, 'DM_METADATA_SNAPSHOT_HELD', 'DM_METADATA_SNAPSHOT_NOT_HELD'],
      run: async ({ pool }) => {
        await pool.reserveMetadataSnapshot()
        await pool.releaseMetadataSnapshot()
      },
    },
    commit: { codes: GONE, run: ({ pool }) => pool.commit() },
    check: {
      codes: [...GONE, 'DM_METADATA_SNAPSHOT_HELD', 'DM_METADATA_SNAPSHOT_NOT_HELD'],
      run: async ({ pool }) => void (await pool.check()),
    },
  }

  /** Calls on the files of a pool that does not run. `other`: the same with another name of the pool. */
  const AT_REST = {
    'create on files': { codes: CREATE, run: async ({ options }) => void (await ThinPool.create(options)) },
    'create anew': {
      codes: CREATE,
      run: async ({ options }) => void (await ThinPool.create({ ...options, format: 'overwrite' })),
    },
    'create under another name': {
      codes: CREATE,
      run: async ({ options, other }) => void (await ThinPool.create({ ...options, name: other, format: 'overwrite' })),
    },
    start: {
      codes: START,
      run: async ({ options }) => void (await open(options)),
    },
    'start under another name': {
      codes: START,
      run: async ({ options, other }) => void (await open({ ...options, name: other })),
    },
    'check at rest': {
      exclusive: true,
      codes: START,
      run: async ({ options }) => void (await ThinPool.check(options)),
    },
    'repair at rest': {
      exclusive: true,
      codes: [...START, 'DM_POOL_IN_USE'],
      run: async ({ options }) => void (await ThinPool.repair(options)),
    },
    'start and remove': {
      codes: START,
      run: async ({ options }) => void (await (await open(options)).remove()),
    },
  }

  /** Opens the pool where it was replaced, and finds its two volumes: `origin` is active, `idle` is not. */
  async function scene({ options, other, isNew, running }, known) {
    if (!running) return { options, other }
    const pool = isNew ? await ThinPool.open({ name: options.name }) : known.pool
    return { options, other, pool, origin: await pool.volume(0), idle: await pool.volume(1, SIZE) }
  }

  return { groups: { RUNNING, AT_REST }, scene }
}
