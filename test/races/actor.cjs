// One of many that work on one pool at once: a worker thread or a process of test/races/several.test.ts. It uses the
// library as built: creates, snapshots, activates, deactivates and deletes volumes of its own, snapshots an origin that
// all share and is active, and wants volumes that others want too. It tells which volumes it has in the end, and every
// refusal that it has no explanation for.
'use strict'

const { isMainThread, parentPort, workerData } = require('node:worker_threads')
const { ThinPool, volumesOf } = require('../../dist/entry/index.js')
const { lotsOf } = require('../helpers/random/xorshift.cjs')

const { name, seed, rounds, origin: originId, wanted } = isMainThread ? JSON.parse(process.argv[2]) : workerData
const SIZE = { sizeBytes: 1024 * 1024 }

const { one } = lotsOf(seed)

async function act() {
  const pool = await ThinPool.open({ name, repair: false })
  const origin = await patiently(() => pool.volume(originId))
  /** @type {import('../../dist/entry/index.js').ThinVolume[]} */
  const own = []
  const unexpected = []
  let refused = 0
  const take = volumes => own.push(...volumes)
  /** Up to `most` of its own, out of the reach of what it does at the same time; those that are left are given back. */
  const borrow = async (isMeant, most, use) => {
    const lent = own.filter(isMeant).slice(0, most)
    for (const volume of lent) own.splice(own.indexOf(volume), 1)
    take((await use(lent)) ?? [])
  }
  const each = async (volumes, use) => void (await Promise.all(volumes.map(use)))
  const acts = [
    async () => take([await pool.createVolume(SIZE)]),
    async () => take([await origin.snapshot()]),
    async () => take([await origin.snapshot({ activate: true })]),
    async () => take(volumesOf(await pool.snapshotMany(origin, 3))),
    () =>
      borrow(
        volume => !volume.active,
        3,
        async lent => volumesOf(await pool.activateMany(lent)),
      ),
    () =>
      borrow(
        volume => volume.active,
        2,
        async lent => volumesOf(await pool.deactivateMany(lent)),
      ),
    () =>
      borrow(
        volume => !volume.active,
        1,
        lent => each(lent, volume => volume.delete()),
      ),
    () =>
      borrow(
        () => true,
        1,
        lent => each(lent, volume => volume.destroy()),
      ),
    async () => {
      const id = one(wanted)
      const volume = await patiently(() => pool.volume(id, SIZE))
      try {
        // Each under a name of its own: what keeps two apart is not the name.
        await volume.activate({ name: `${name}-wanted-${id}-${seed}` })
      } catch (fault) {
        // The other has let go meanwhile: then nobody can tell whether it was the name or the volume that was taken.
        if (fault.code !== 'DM_ALREADY_ACTIVE' && fault.code !== 'DM_NAME_TAKEN') throw fault
        refused += 1
        return
      }
      await volume.status()
      await volume.deactivate()
    },
  ]
  say('ready')
  for (let round = 0; round < rounds; round++) {
    // Two at once, as a service would.
    for (const { reason } of await Promise.allSettled([one(acts)(), one(acts)()])) {
      if (reason) unexpected.push(`${reason.code}: ${reason.message}`)
    }
  }
  const active = own.filter(volume => volume.active).map(volume => volume.id)
  return { ids: own.map(volume => volume.id), active, refused, unexpected }
}

/** Others commit meanwhile, perhaps faster than the metadata can be read. */
async function patiently(ask) {
  for (;;) {
    try {
      return await ask()
    } catch (fault) {
      if (fault.code !== 'DM_METADATA_BUSY') throw fault
    }
  }
}

function say(message) {
  if (isMainThread) process.stdout.write(`${JSON.stringify(message)}\n`)
  else parentPort.postMessage(message)
}

act().then(say, fault => say({ ids: [], active: [], refused: 0, unexpected: [String(fault.stack)] }))
