// A pool on two sparse files, a volume, two copies of it, and everything removed again.
import { GiB, MiB, ThinPool, volumesOf } from 'dm-thin'

const data = { file: 'first-lines-data.img', sizeBytes: 10 * GiB } // sparse: takes no space yet
const metadata = { file: 'first-lines-metadata.img', sizeBytes: 64 * MiB }
const pool = await ThinPool.create({ name: 'first-lines', data, metadata })
const base = await pool.createVolume({ sizeBytes: 1 * GiB })
await base.activate() // base.path is a block device now
const copies = volumesOf(await pool.snapshotMany(base, 2)) // two copies, no bytes copied
volumesOf(await pool.activateMany(copies)) // all at the same time
for (const copy of copies) console.log(copy.name, copy.path, await copy.status())
await pool.remove({ deactivate: true, deleteFiles: true }) // volumes, pool, loop devices, both files
