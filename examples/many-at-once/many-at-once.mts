// 64 snapshots, activated at the same time with progress, and their status read by one native call.
import { GiB, volumesOf } from 'dm-thin'
import { withPool } from '../scratch.mjs'

const COUNT = 64

await withPool('many', async pool => {
  const origin = await pool.createVolume({ sizeBytes: 1 * GiB })
  await origin.activate()

  const snapshots = volumesOf(await pool.snapshotMany(origin, COUNT))
  console.log(`${snapshots.length} snapshots, ids ${snapshots[0]!.id} to ${snapshots.at(-1)!.id}`)

  const results = await pool.activateMany(snapshots, {
    onProgress: ({ done, total }) => done % 16 === 0 && console.log(`activated ${done} of ${total}`),
  })
  for (const result of results) {
    if (result.status === 'rejected') console.error(result.volume.name, result.reason.code)
  }

  const statuses = await pool.statusMany(snapshots)
  const mapped = statuses.map(status => (status.status === 'fulfilled' ? (status.value.mappedBytes ?? 0) : 0))
  console.log(`status of ${statuses.length} volumes; ${mapped.filter(bytes => bytes > 0).length} map any data yet`)

  const gone = await pool.deactivateMany(snapshots)
  console.log(`${gone.filter(({ status }) => status === 'fulfilled').length} deactivated`)
})
