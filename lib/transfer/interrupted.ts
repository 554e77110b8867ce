// The receives of a pool that were interrupted and can continue.
import { isDeepStrictEqual } from 'node:util'
import { hasCode } from '../base/errors.js'
import { checkOptions, type SignalOption } from '../base/options.js'
import type { PartialReceive } from '../pool/state/sent-states.js'
import type { PoolContext } from '../pool/state/context.js'
import type { VolumeRecord } from '../pool/state/record.js'
import type { ThinPool } from '../pool/thin-pool.js'
import { findVolume } from '../pool/volume/find-volume.js'
import type { ThinVolume } from '../pool/volume/thin-volume.js'
import { invalidTransfer, type ResumePoint, type StreamHeader } from './format.js'
import { checkNotRolledBack, keptState } from './state.js'
import { formatToken } from './token.js'
import { withoutOthers } from './unfinished.js'

type Signal = AbortSignal | undefined

/** An interrupted receive. */
export interface InterruptedReceive {
  /** The option `resume` of `sendVolume` or `readBackup`, with which the receive continues. */
  readonly token: string
  /** The thin id of the volume into which was received. Delete it to give up. */
  readonly volume: number
  /** The offset in the volume before which everything is received and on the disk. */
  readonly offsetBytes: number
  /** The size of the whole volume: 100 percent of `offsetBytes`. */
  readonly sizeBytes: number
}

type Entry = readonly [id: number, record: VolumeRecord, partial: PartialReceive]

function partialsIn(volumes: ReadonlyMap<number, VolumeRecord>): Entry[] {
  return [...volumes].flatMap(([id, record]) =>
    typeof record.receiving === 'object' ? [[id, record, record.receiving] as const] : [],
  )
}

/**
 * Returns the receives into a pool that were interrupted and can continue: those with `saveEveryBytes` that failed, were
 * aborted or killed, or ended by a crash of the machine. Waits while a call receives into the pool.
 *
 * Rejects with `DM_UNSUPPORTED` (no record; a pool in memory, or of another program), `DM_RECORD`, `ABORT_ERR`, and the codes
 * of reading the pool's metadata.
 */
export async function interruptedReceives(
  pool: ThinPool,
  options: SignalOption = {},
): Promise<readonly InterruptedReceive[]> {
  checkOptions(options, ['signal'], 'interruptedReceives')
  const { signal } = options
  return withoutOthers(pool, signal, async record => {
    const found: InterruptedReceive[] = []
    for (const [volume, { sizeBytes }, partial] of partialsIn((await record.read()).volumes)) {
      if (partial.writable || !(await isThere(pool.context, volume, partial, signal))) continue
      const { target, base, offset } = partial
      const token = formatToken({ target, base, resume: { offset, volume } })
      found.push({ token, volume, offsetBytes: offset, sizeBytes: sizeBytes ?? 0 })
    }
    return found
  })
}

/** Returns whether the volume exists, and was not created again with the same id. */
async function isThere(pool: PoolContext, id: number, { time }: PartialReceive, signal: Signal): Promise<boolean> {
  try {
    return (await keptState(pool, id, signal)).time === time
  } catch (fault) {
    if (hasCode(fault, 'DM_VOLUME_NOT_FOUND')) return false
    throw fault
  }
}

/** Finds the volume into which a stream continues. Rejects with `DM_TRANSFER_INVALID`. */
export async function continued(
  pool: ThinPool,
  { target, base, sizeBytes, resume }: StreamHeader & { readonly resume: ResumePoint },
  given: ThinVolume | undefined,
  signal: Signal,
): Promise<ThinVolume> {
  const { context } = pool
  const volumes = (await context.record?.read())?.volumes ?? new Map<number, VolumeRecord>()
  const [, record, partial] = partialsIn(volumes).find(([id]) => id === resume.volume) ?? []
  const isSameStream =
    isDeepStrictEqual(partial?.target, target) &&
    isDeepStrictEqual(partial?.base, base) &&
    record?.sizeBytes === sizeBytes
  if (!record || !partial || !isSameStream || resume.offset > partial.offset) {
    throw invalidTransfer('resume', `volume ${resume.volume} of pool ${context.name} was not received from this stream`)
  }
  if (given !== undefined && given.id !== record.origin) {
    throw invalidTransfer('base', `the interrupted receive began with another base than volume ${given.id}`)
  }
  if (partial.writable || !(await isThere(context, resume.volume, partial, signal))) {
    const text = `volume ${resume.volume} of pool ${context.name} was written or created again since the receive was interrupted`
    throw invalidTransfer('resume-modified', text)
  }
  await checkNotRolledBack(context, signal)
  return findVolume(context, resume.volume, {}, 'all', signal)
}
