// The base of an incremental stream in the receiving pool: it is the one of the stream, and was not written since.
import { DmThinError, undefinedIf } from '../base/errors.js'
import { signalOption } from '../base/options.js'
import { DEVICE_FLAG } from '../kernel/port/device-port.js'
import type { Received } from '../pool/state/sent-states.js'
import { isSinceStart } from '../pool/state/clean-stop.js'
import type { PoolContext } from '../pool/state/context.js'
import type { ThinPool } from '../pool/thin-pool.js'
import type { ThinVolume } from '../pool/volume/thin-volume.js'
import { ThinMetadata } from '../pool/thin-metadata.js'
import { invalidTransfer, type StreamHeader } from './format.js'
import { checkNotRolledBack, isSame, isSameRoot, keptState, unchanged } from './state.js'

type Signal = AbortSignal | undefined

/** A base that was found to be unmodified, as far as its state shows. */
export interface CheckedBase {
  readonly received: Received
  /** Rejects if a snapshot of the base does not have the content that was received. */
  readonly checkSnapshot: (snapshot: ThinVolume) => Promise<void>
}

/** The pool and the options of a receive that the base needs. */
export interface BaseRequest {
  readonly pool: ThinPool
  readonly base: ThinVolume | undefined
  readonly verifyBase: boolean
  readonly signal: Signal
}

/**
 * Checks the base of a stream, in a number of reads that its size does not change, unless its mappings are to be read.
 * Rejects with `DM_TRANSFER_INVALID`, `DM_VOLUME_ACTIVE`.
 */
export async function checkBase(header: StreamHeader, request: BaseRequest): Promise<CheckedBase | undefined> {
  const { pool, base, signal } = request
  if (header.base === undefined && base === undefined) return undefined
  if (header.base === undefined) throw invalidTransfer('base', 'the stream is full: it needs no base')
  if (base === undefined) throw invalidTransfer('base', 'the stream is incremental: it needs a base')
  const { context } = pool
  const received = (await context.record?.read())?.volumes.get(base.id)?.received
  const { starts } = header.base
  if (!received || !starts.includes(received.sent.start) || !isSame(received.sent, header.base)) {
    throw invalidTransfer('base', `volume ${base.id} of pool ${pool.name} was not received from the base of the stream`)
  }
  if (!(await isSinceStart(context, received.kept.start))) {
    const text = `pool ${pool.name} was stopped since volume ${base.id} was received, and it is not proved that nothing was lost`
    throw invalidTransfer('pool-start', text)
  }
  await checkNotWritable(base, context, signal)
  await checkNotRolledBack(context, signal)
  const checkState = async (id: number) => {
    const now = await keptState(context, id, signal)
    const isSameVolume = id === base.id ? isSame(now, received.kept) : now.mappedBlocks === received.kept.mappedBlocks
    const { root } = received.kept
    if (!isSameVolume || (root && !isSameRoot(now.root, root))) throw modified(base)
  }
  await checkState(base.id)
  const isRead = request.verifyBase || received.writable === true || received.kept.root === undefined
  const checkSnapshot = async (snapshot: ThinVolume) => {
    await checkState(snapshot.id)
    if (isRead) await checkMappings(request, base, snapshot, received)
  }
  return { received, checkSnapshot }
}

const modified = ({ id }: ThinVolume) =>
  invalidTransfer('base-modified', `volume ${id} was written since it was received`)

/** Rejects with `DM_VOLUME_ACTIVE` if the volume is active for writing, in any process. */
async function checkNotWritable(base: ThinVolume, { port }: PoolContext, signal: Signal): Promise<void> {
  if (!(await base.refresh(signalOption(signal)))) return
  // A stream of another process that sends the base may end in the meantime.
  const found = await port.deviceStatus(base.state.address, signal).catch(undefinedIf('DM_NOT_FOUND'))
  if (!found || (found.flags & DEVICE_FLAG.readOnly) !== 0) return
  throw new DmThinError('DM_VOLUME_ACTIVE', `volume ${base.id} is active for writing`, { device: base.name })
}

async function checkMappings(
  { pool, signal }: BaseRequest,
  base: ThinVolume,
  snapshot: ThinVolume,
  { kept }: Received,
): Promise<void> {
  const wanted = signalOption(signal)
  const metadata = await ThinMetadata.open(pool, { reserve: false, ...wanted })
  try {
    for await (const range of unchanged(metadata.mappings(snapshot.id, wanted), kept, () => modified(base))) void range
  } finally {
    await metadata.close()
  }
}
