// The library's side of the trials of forks.
import { execFileSync } from 'node:child_process'
import { closeSync, constants, fdatasyncSync, fsyncSync, openSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { GiB, MiB, SECTOR_BYTES, ThinPool, volumesOf } from 'dm-thin'
import { range } from '../plan.mjs'
import { programs } from '../process.mjs'
import { extentTrials } from './ours-extents.mjs'
import { growthTrials } from './ours-growth.mjs'
import { resetTrials } from './ours-reset.mjs'

const WRITE_BYTES = 4096
const FIRST_WRITES = 64
const ALIGNMENT = 65_536

const placeOf = ({ sectors, pieces }, piece) =>
  piece * Math.floor((sectors * SECTOR_BYTES) / pieces / ALIGNMENT) * ALIGNMENT

/** Data in evenly spread pieces, on the disk when it returns: as io.c writes them. */
function writePieces(fd, plan) {
  const bytes = Buffer.alloc(plan.piece, 0x5a)
  for (const piece of range(plan.pieces)) writeSync(fd, bytes, 0, bytes.length, placeOf(plan, piece))
  fsyncSync(fd)
}

/** 4 KiB at the start of a random piece of some of the disks, by pwrite and fdatasync: as io.c writes them. */
function firstWrites(samples, metric, plan, disks) {
  const bytes = Buffer.alloc(WRITE_BYTES, 0xa5)
  const writes = Math.min(disks.length, FIRST_WRITES)
  for (const index of range(writes)) {
    const fd = disks[index * Math.floor(disks.length / writes)]
    const at = placeOf(plan, Math.floor(Math.random() * plan.pieces))
    const clock = samples.start()
    writeSync(fd, bytes, 0, WRITE_BYTES, at)
    fdatasyncSync(fd)
    clock.add(metric)
  }
}

const open = ({ path }) => openSync(path, constants.O_RDWR)

/** A live disk with data, open as a virtual machine has it, for as long as `body` runs. */
async function withDisk(pool, plan, body) {
  const disk = await pool.createVolume({ sizeBytes: plan.sectors * SECTOR_BYTES })
  await disk.activate()
  const fd = open(disk)
  writePieces(fd, plan)
  await body(disk)
  closeSync(fd)
  await disk.destroy()
}

/** The block sizes that the first write is compared for, beside the 64 KiB of the pool of all peers. */
const OTHER_BLOCKS = [
  ['128 KiB blocks', 128 * 1024],
  ['1 MiB blocks', MiB],
]

async function firstWritesWith(samples, plan, label, dataBlockBytes) {
  const files = name => ({ file: join(plan.backing, `dmthinbench-blocks-${name}`) })
  const data = { ...files('data'), sizeBytes: 2 * GiB }
  const metadata = { ...files('metadata'), sizeBytes: 16 * MiB }
  const options = { name: 'dmthinbench-blocks', data, metadata, dataBlockBytes, skipBlockZeroing: true }
  const pool = await ThinPool.create(options)
  await withDisk(pool, plan, async disk => {
    const forks = await pool.fork(disk, plan.count)
    const disks = forks.map(open)
    firstWrites(samples, `fork-first-write@${label}`, plan, disks)
    disks.forEach(each => closeSync(each))
    for (const fork of forks) await fork.destroy()
  })
  await pool.remove()
  for (const { file } of [data, metadata]) rmSync(file)
}

export const forkTrials = {
  ...extentTrials,
  ...growthTrials,
  ...resetTrials,

  async fork(samples, plan) {
    const pool = await ThinPool.open(plan.pool)
    await withDisk(pool, plan, async disk => {
      for (const _ of range(plan.repeats)) {
        const forking = samples.start(plan.count)
        const forks = await pool.fork(disk, plan.count)
        const disks = forks.map(open)
        forking.add('fork-1000')
        firstWrites(samples, 'fork-first-write', plan, disks)
        const ending = samples.start(plan.count)
        disks.forEach(each => closeSync(each))
        volumesOf(await pool.deactivateMany(forks))
        volumesOf(await pool.deleteMany(forks))
        ending.add('fork-gone')
      }
    })
    await pool.close()
  },

  async 'fork-blocks'(samples, plan) {
    for (const [label, bytes] of OTHER_BLOCKS) await firstWritesWith(samples, plan, label, bytes)
  },

  /** The C program reads and writes, as for all peers. */
  async steady(samples, plan) {
    const pool = await ThinPool.open(plan.pool)
    await withDisk(pool, plan, async disk => {
      const [fork] = await pool.fork(disk, 1)
      const args = ['steady', `path=${fork.path}`, `repeats=${plan.repeats}`]
      const found = JSON.parse(execFileSync(programs.c[0], args, { encoding: 'utf8' }))
      for (const [metric, list] of Object.entries(found)) for (const ns of list) samples.add(metric, ns)
      await fork.destroy()
    })
    await pool.close()
  },
}
