// A pool whose metadata lies on a linear device of ours, so that it can be taken from under it.
import { MiB, ThinPool, type ThinVolume } from '../../../lib/entry/index.js'
import { writeBlock } from '../kernel/blocks.js'
import { takeDown } from './pools.js'
import type { Scratch } from '../kernel/scratch.js'
import { run } from '../process/spawned.js'
import { dmCreate, dmInfo, dmRemove, dmResume } from '../kernel/dmsetup.js'

/** What the kernel rightly says of metadata that it can no longer read or write. */
export const BROKEN = [/device-mapper: /, /I\/O error/]

export interface BrokenPool {
  readonly pool: ThinPool
  /** Active, with its first block written. */
  readonly volume: ThinVolume
  /** Replaces what lies below the metadata, as a dying disk would. */
  readonly breakMetadata: (table: string) => void
  readonly repairMetadata: () => void
  /** The name of the device below the metadata. */
  readonly linear: string
  readonly metadataFile: string
}

/** Makes it, runs `body`, and takes it down in whatever state it is then. */
export async function onLinear(scratch: Scratch, body: (broken: BrokenPool) => Promise<void>): Promise<void> {
  const [dataFile, metadataFile] = [scratch.path('data.img'), scratch.path('metadata.img')]
  run('rm', ['-f', dataFile, metadataFile])
  run('truncate', ['-s', '4M', metadataFile])
  const loop = run('losetup', ['--find', '--show', metadataFile]).trim()
  const linear = scratch.name('linear')
  const whole = `0 8192 linear ${loop} 0`
  dmCreate(linear, whole)
  const swap = (table: string) => {
    // Without a flush: what lies below may not answer any more.
    run('dmsetup', ['suspend', '--noudevsync', '--noflush', '--nolockfs', linear])
    run('dmsetup', ['load', linear, '--table', table])
    dmResume(linear)
  }
  const pool = await ThinPool.create({
    name: scratch.name('pool'),
    data: { file: dataFile, sizeBytes: 16 * MiB },
    metadata: { device: `/dev/dm-${dmInfo(linear)!.number.split(':')[1]}` },
  })
  const volume = await (await pool.createVolume({ sizeBytes: 8 * MiB })).activate()
  await writeBlock(volume.path, 0, 1)
  await body({ pool, volume, linear, metadataFile, breakMetadata: swap, repairMetadata: () => swap(whole) })
  await takeDown(pool.name)
  dmRemove(linear)
  run('losetup', ['--detach', loop])
}
