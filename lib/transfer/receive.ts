// Receiving a volume: all of it, or what has changed since one that was received before.
import { checkName, checkOptions, invalid, signalOption, type SignalOption } from '../base/options.js'
import { DmThinError } from '../base/errors.js'
import { BlockDevice } from '../block/block-device.js'
import { nativePort } from '../kernel/native-port.js'
import { isSinceStart } from '../pool/state/clean-stop.js'
import type { PoolContext } from '../pool/state/context.js'
import { PoolLock } from '../pool/state/locks.js'
import type { FrozenState, PoolRecord } from '../pool/state/record.js'
import type { ThinPool } from '../pool/thin-pool.js'
import { ThinVolume } from '../pool/volume/thin-volume.js'
import { ThinMetadata } from '../thin-metadata/thin-metadata.js'
import { applyRecords, readHeader } from './apply.js'
import { ByteReader, type ByteSource } from './byte-reader.js'
import { invalidTransfer, type StreamHeader } from './format.js'
import type { TransferProgress } from './send.js'
import { checkNotRolledBack, findDetails, identityOf, isSame, refuseForeignPool, unchanged } from './state.js'
import { createUnfinished, deleteUnfinished } from './unfinished.js'

/** Options of `receiveVolume`. */
export interface ReceiveOptions extends SignalOption {
  /** For an incremental stream, required: the volume that was received from its base. It is not modified. */
  readonly base?: ThinVolume
  /** The name of the new volume's mapped device. Default `POOL-ID`. */
  readonly name?: string
  /** Called after each chunk and hole. Default: no calls. */
  readonly onProgress?: (progress: TransferProgress) => void
}

interface Receiving {
  readonly pool: ThinPool
  readonly record: PoolRecord
  readonly options: ReceiveOptions
}

/**
 * Receives a stream of `sendVolume` into a new volume of the pool, and returns it, inactive. With an incremental stream,
 * the new volume is a snapshot of `base` to which the changes were written. The pool must have a record. Waits while another
 * call receives into the pool.
 *
 * The volume is complete and verified when it appears without the mark in the record. If the call fails, nothing is left; if
 * it is killed, the next call deletes what is left. The source is destroyed if the call fails.
 *
 * Rejects with `DM_TRANSFER_INVALID`, whose `detail` is the reason, `DM_UNSUPPORTED` (no record; a pool in memory, or of
 * another program), `DM_RECORD`, `DM_POOL_FULL`, `DM_POOL_RESERVE`, `DM_POOL_WORN`, `DM_POOL_READ_ONLY`, `DM_POOL_FAILED`,
 * `DM_NOT_COMMITTED`, `DM_KERNEL` (ENOSPC …), `DM_VOLUME_NOT_FOUND`, `DM_INVALID_ARGUMENT`, `ABORT_ERR`.
 */
export async function receiveVolume(
  pool: ThinPool,
  source: ByteSource,
  options: ReceiveOptions = {},
): Promise<ThinVolume> {
  checkOptions(options, ['base', 'name', 'onProgress', 'signal'], 'receiveVolume')
  const { base, signal } = options
  if (options.name !== undefined) checkName(options.name)
  if (typeof (source as Partial<ByteSource> | undefined)?.[Symbol.asyncIterator] !== 'function') {
    throw invalid('source must be a stream or another async iterable of bytes')
  }
  const { context } = pool
  if (base !== undefined && !(base instanceof ThinVolume && base.belongsTo(context))) {
    throw invalid('base must be a volume of the pool')
  }
  const { record } = context
  if (!record || context.port !== nativePort()) {
    throw new DmThinError(
      'DM_UNSUPPORTED',
      `pool ${pool.name} has no record: open it with \`record\` to receive volumes`,
    )
  }
  refuseForeignPool(context)
  const reader = new ByteReader(source, signal)
  try {
    return await context.pending.run(() => alone(context, signal, () => receive({ pool, record, options }, reader)))
  } catch (fault) {
    reader.close()
    throw fault
  }
}

/** Runs `body` while no other call receives into the pool, and deletes what it leaves if it fails. */
async function alone<T>(pool: PoolContext, signal: AbortSignal | undefined, body: () => Promise<T>): Promise<T> {
  // Pool names have no `~`.
  const unlock = await new PoolLock(pool.port, signal).take(`~receive-${pool.name}`)
  try {
    await deleteUnfinished(pool, signal)
    try {
      return await body()
    } catch (fault) {
      await deleteUnfinished(pool, undefined).catch(() => {}) // the next call deletes it
      throw fault
    }
  } finally {
    unlock()
  }
}

async function receive({ pool, record, options }: Receiving, reader: ByteReader): Promise<ThinVolume> {
  const { base, name, signal, onProgress } = options
  const { context } = pool
  const wanted = signalOption(signal)
  const beginning = await readHeader(reader)
  const { header } = beginning
  if (header.dataBlockBytes !== pool.dataBlockBytes) {
    const text = `the blocks of the stream have ${header.dataBlockBytes} bytes, those of the pool ${pool.dataBlockBytes}`
    throw invalidTransfer('block-size', text)
  }
  const kept = await keptBase(context, header, base)
  const { sizeBytes } = header
  const work = await createUnfinished(context, { sizeBytes, origin: base?.id }, signal)
  if (kept) await checkUnmodified(pool, work, kept, signal)

  await work.activate(wanted)
  const device = await BlockDevice.open(work.path, { exclusive: true, ...wanted })
  try {
    await applyRecords(reader, beginning, { device, onProgress, signal })
    await device.flush(wanted)
  } finally {
    await device.close()
  }
  await work.deactivate(wanted)

  // All mappings of a snapshot are older than itself, so that a later write to it can be recognised.
  const { id } = await createUnfinished(context, { sizeBytes, origin: work.id, name }, signal)
  await work.delete(wanted)
  const state = await stateOf(pool, id, signal)
  const volume = new ThinVolume(context, { id, sizeBytes, origin: base?.id, name })
  const received = { sent: header.target, kept: state }
  await record.put([[id, { name: volume.name, sizeBytes, origin: base?.id, received }]])
  return volume
}

/** Returns the state of the base in this pool. Rejects with `DM_TRANSFER_INVALID` if it is not the base of the stream. */
async function keptBase(
  pool: PoolContext,
  header: StreamHeader,
  base: ThinVolume | undefined,
): Promise<FrozenState | undefined> {
  if (header.base === undefined && base === undefined) return undefined
  if (header.base === undefined) throw invalidTransfer('base', 'the stream is full: it needs no base')
  if (base === undefined) throw invalidTransfer('base', 'the stream is incremental: it needs a base')
  const received = (await pool.record?.read())?.volumes.get(base.id)?.received
  const { starts } = header.base
  if (!received || !starts.includes(received.sent.start) || !isSame(received.sent, header.base)) {
    throw invalidTransfer('base', `volume ${base.id} of pool ${pool.name} was not received from the base of the stream`)
  }
  if (!(await isSinceStart(pool, received.kept.start))) {
    const text = `pool ${pool.name} was stopped since volume ${base.id} was received, and it is not proved that nothing was lost`
    throw invalidTransfer('pool-start', text)
  }
  return received.kept
}

/** Rejects with `DM_TRANSFER_INVALID` if a snapshot of the base does not have the content that was received. */
async function checkUnmodified(
  pool: ThinPool,
  snapshot: ThinVolume,
  kept: FrozenState,
  signal: AbortSignal | undefined,
): Promise<void> {
  const wanted = signalOption(signal)
  const fault = () => invalidTransfer('base-modified', `volume ${kept.volume} was written since it was received`)
  await checkNotRolledBack(pool.context, signal)
  const metadata = await ThinMetadata.open(pool, { reserve: false, ...wanted })
  try {
    const details = await findDetails(metadata, kept.volume, wanted)
    if (!isSame(identityOf(details), kept)) throw fault()
    for await (const range of unchanged(metadata.mappings(snapshot.id, wanted), kept, fault)) void range
  } finally {
    await metadata.close()
  }
}

/** Returns the state of a volume, of which it is verified that it is committed. */
async function stateOf(pool: ThinPool, id: number, signal: AbortSignal | undefined): Promise<FrozenState> {
  const wanted = signalOption(signal)
  const metadata = await ThinMetadata.open(pool, { reserve: false, ...wanted })
  try {
    const details = await findDetails(metadata, id, wanted)
    await checkNotRolledBack(pool.context, signal)
    return { start: pool.context.uuid, ...identityOf(details) }
  } finally {
    await metadata.close()
  }
}
