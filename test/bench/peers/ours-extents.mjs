// Disks with ever more mappings, in a pool whose metadata thin_restore writes: nothing is written to them.
import { execFileSync } from 'node:child_process'
import { closeSync, openSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { GiB, MiB, SECTOR_BYTES, ThinPool } from 'dm-thin'
import { range } from '../plan.mjs'

/** Of a pool that the C program and the library fork: its thin ids are the places in this list. */
const ROWS = [
  ['fork-extents-1', 1],
  ['fork-extents-10k', 10_000],
  ['fork-extents-1m', 2 ** 20],
]
const BLOCK_SECTORS = 128

const fileOf = (plan, name) => join(plan.backing, `dmthinbench-extents-${name}`)

function sparse(path, bytes) {
  closeSync(openSync(path, 'w'))
  truncateSync(path, bytes)
  return path
}

/** The pool's metadata as thin_restore reads it: one range of blocks for each device. */
function dumpText() {
  let begin = 0
  const devices = ROWS.map(([, blocks], id) => {
    const range = `<range_mapping origin_begin="0" data_begin="${begin}" length="${blocks}" time="0"/>`
    begin += blocks
    return `<device dev_id="${id}" mapped_blocks="${blocks}" transaction="0" creation_time="0" snap_time="0">${range}</device>`
  })
  const head = `uuid="" time="0" transaction="0" version="2" data_block_size="${BLOCK_SECTORS}"`
  return `<superblock ${head} nr_data_blocks="${2 * begin}">\n${devices.join('\n')}\n</superblock>\n`
}

/** One fork at a time of these disks. */
async function forks(samples, plan, ids) {
  const pool = await ThinPool.open(plan.pool)
  for (const id of ids) {
    const disk = await pool.volume(id, { sizeBytes: plan.sectors * SECTOR_BYTES })
    await disk.activate()
    const live = openSync(disk.path, 'r+')
    for (const _ of range(plan.repeats)) {
      const [fork, fd] = await samples.time(ROWS[id][0], async () => {
        const [made] = await pool.fork(disk, 1)
        return [made, openSync(made.path, 'r+')]
      })
      closeSync(fd)
      await fork.destroy()
    }
    closeSync(live)
    await disk.deactivate()
  }
  samples.copy(ROWS[ids[0]][0], `${ROWS[ids[1]][0]}@one extent`)
  await pool.close()
}

export const extentTrials = {
  async 'extents-make'(_samples, plan) {
    const dump = fileOf(plan, 'dump')
    writeFileSync(dump, dumpText())
    const metadata = sparse(fileOf(plan, 'metadata'), 256 * MiB)
    const data = sparse(fileOf(plan, 'data'), 256 * GiB)
    execFileSync('thin_restore', ['--input', dump, '--output', metadata], { stdio: ['ignore', 'ignore', 'inherit'] })
    rmSync(dump)
    const pool = await ThinPool.open({
      name: plan.pool,
      data: { file: data },
      metadata: { file: metadata },
      skipBlockZeroing: true,
    })
    await pool.close()
  },

  extents: (samples, plan) => forks(samples, plan, [0, 1]),
  /** Beside them, for the same process, the disk with one. */
  'most-extents': (samples, plan) => forks(samples, plan, [0, 2]),

  async 'extents-unmake'(_samples, plan) {
    const pool = await ThinPool.open(plan.pool)
    await pool.remove({ deactivate: true })
    for (const name of ['metadata', 'data']) rmSync(fileOf(plan, name))
  },
}
