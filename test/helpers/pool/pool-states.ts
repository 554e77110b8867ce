// A small pool, brought into one of the states that a caller may meet it in.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { MiB, volumesOf, type ThinPool, type ThinVolume } from '../../../lib/entry/index.js'
import { BLOCK, pattern, writeAt, writeBlock } from '../kernel/blocks.js'
import { BROKEN, onLinear } from './broken-pool.js'
import { withPool } from './pools.js'
import type { Scratch } from '../kernel/scratch.js'
import { run } from '../process/spawned.js'
import { dmInfo, dmRemove, dmResume, dmSuspend, dmTable } from '../kernel/dmsetup.js'

/**
 * `volume suspended`, `pool suspended`: by hand. `busy`: the active volume is held open. `full`: no data block is free,
 * and a write to the active volume waits for one. `read-only`: by a reload. `failed`: its metadata is gone, and a
 * commit has found out. `gone`: taken down by hand. `closed`: the objects are, the pool runs.
 */
export const POOL_STATES = [
  'active',
  'volume suspended',
  'pool suspended',
  'busy',
  'full',
  'read-only',
  'failed',
  'gone',
  'closed',
] as const
export type PoolState = (typeof POOL_STATES)[number]

export interface PoolBench {
  readonly state: PoolState
  readonly pool: ThinPool
  /** Active before the pool came into its state. */
  readonly live: ThinVolume
  /** Inactive. */
  readonly idle: ThinVolume
  /** An active one to be deactivated: `live` where that is the one held open. */
  readonly spare: () => ThinVolume
  /** An inactive one to be deleted. */
  readonly unwanted: () => ThinVolume
  /** How long a busy device is tried. udev holds new ones for a moment. */
  readonly patience: { readonly timeoutMs: number }
}

/** Every message of the kernel that the states bring about. */
export const STATE_MESSAGES = [
  ...BROKEN,
  /no free data space/,
  /reached low water mark/,
  /out-of-data-space/,
  /unable to service pool target messages/,
]

/** Runs `body` on a pool in `state`, and takes the pool down. */
export async function inPoolState(
  scratch: Scratch,
  state: PoolState,
  body: (bench: PoolBench) => Promise<void>,
): Promise<void> {
  scratch.log.allow(...STATE_MESSAGES)
  if (state === 'failed') {
    return onLinear(scratch, async ({ pool, volume, breakMetadata }) => {
      const bench = await benchOf(state, pool, volume)
      breakMetadata('0 8192 error')
      // It is the commit that finds out.
      await expect(writeBlock(volume.path, 20, 2)).rejects.toMatchObject({ code: 'EIO' })
      await body(bench)
    })
  }
  return withPool({ dataBytes: state === 'full' ? FEW_BLOCKS * BLOCK : 64 * MiB }, async pool => {
    const live = await (await pool.createVolume({ sizeBytes: 8 * MiB })).activate()
    const bench = await benchOf(state, pool, live)
    const leave = await ENTER[state](bench)
    try {
      await body(bench)
    } finally {
      await leave?.()
    }
  })
}

const SPARES = 3
const UNWANTED = 2
const FEW_BLOCKS = 16

async function benchOf(state: PoolState, pool: ThinPool, live: ThinVolume): Promise<PoolBench> {
  const busy = state === 'busy'
  const inactive = 1 + UNWANTED
  const [idle, ...others] = volumesOf(await pool.snapshotMany(live, inactive + (busy ? 0 : SPARES)))
  const [unwanted, spares] = [others.splice(0, UNWANTED), others]
  volumesOf(await pool.activateMany(spares))
  const patience = { timeoutMs: busy ? 0 : 10_000 }
  return {
    state,
    pool,
    live,
    idle: idle!,
    unwanted: () => unwanted.pop()!,
    spare: () => spares.pop() ?? live,
    patience,
  }
}

type Leave = (() => Promise<void> | void) | void

const ENTER: Record<Exclude<PoolState, 'failed'>, (bench: PoolBench) => Promise<Leave> | Leave> = {
  active: () => {},
  'volume suspended': ({ live }) => dmSuspend(live.name),
  'pool suspended': ({ pool }) => dmSuspend(pool.name),
  busy: ({ live }) => {
    const fd = openSync(live.path, 'r')
    return () => closeSync(fd)
  },
  full: fill,
  'read-only': ({ pool }) => reloadWith(pool.name, 'read_only'),
  gone: ({ pool, live, spare }) => {
    for (let left = SPARES; left > 0; left--) dmRemove(spare().name)
    dmRemove(live.name)
    dmRemove(pool.name)
  },
  closed: ({ pool }) => pool.close(),
}

const reloadWith = (name: string, feature: string): void => {
  run('dmsetup', ['load', name, '--table', dmTable(name).replace(/ 0$/, ` 1 ${feature}`)])
  dmResume(name)
}

const NO_SPACE_TIMEOUT = '/sys/module/dm_thin_pool/parameters/no_space_timeout'

/** With a write that waits for space: past the page cache, or a suspend could not be interrupted. */
async function fill({ pool, live }: PoolBench): Promise<Leave> {
  const usual = readFileSync(NO_SPACE_TIMEOUT, 'utf8')
  writeFileSync(NO_SPACE_TIMEOUT, '0') // it waits until the pool grows
  await writeAt(live.path, 0, pattern(1, FEW_BLOCKS * BLOCK))
  const words = ['if=/dev/zero', `of=${live.path}`, 'bs=64k', 'count=1', 'seek=20', 'oflag=direct', 'status=none']
  const writer = spawn('dd', words, { stdio: 'ignore' })
  const ended = once(writer, 'exit')
  while ((await pool.status()).mode !== 'out_of_data_space') await sleep(20)
  return async () => {
    writeFileSync(NO_SPACE_TIMEOUT, usual)
    if (writer.exitCode === null && dmInfo(pool.name)) reloadWith(pool.name, 'error_if_no_space')
    await ended
  }
}
