// Receiving a volume: all of it, or what has changed since one that was received before.
import {
  checkBoolean,
  checkName,
  checkNumber,
  checkOptions,
  invalid,
  signalOption,
  type SignalOption,
} from '../base/options.js'
import { SECTOR_BYTES } from '../base/units.js'
import { BlockDevice } from '../block/block-device.js'
import type { PoolRecord } from '../pool/state/record.js'
import type { ThinPool } from '../pool/thin-pool.js'
import { ThinVolume } from '../pool/volume/thin-volume.js'
import { applyRecords, type Saving } from './apply.js'
import { checkBase } from './base.js'
import { ByteReader, type ByteSource } from './byte-reader.js'
import { invalidTransfer, type StreamHeader } from './format.js'
import { continued } from './interrupted.js'
import type { TransferProgress } from './progress.js'
import { readHeader, type Beginning } from './read-stream.js'
import { checkNotRolledBack, keptState } from './state.js'
import { createUnfinished, recordPartial, withoutOthers } from './unfinished.js'

/** Options of `receiveVolume`. */
export interface ReceiveOptions extends SignalOption {
  /** For an incremental stream, required: the volume that was received from its base. It is not modified. */
  readonly base?: ThinVolume
  /**
   * Reads all mappings of the base, which proves that no program has written it. Without, they are read only if the record
   * has it that the base was activated for writing since it was received. Default false.
   */
  readonly verifyBase?: boolean
  /** The name of the new volume's mapped device. Default `POOL-ID`. */
  readonly name?: string
  /** Activates the new volume. Default false. */
  readonly activate?: boolean
  /** With `activate`: writes to the device fail. Default false. */
  readonly readOnly?: boolean
  /**
   * Makes the receive one that can continue if it is interrupted: each time that this number of bytes of content was written,
   * they are made durable and recorded. At least 512. Default: a receive that is interrupted leaves nothing.
   */
  readonly saveEveryBytes?: number
  /** Called after each chunk and hole. Default: no calls. */
  readonly onProgress?: (progress: TransferProgress) => void
}

const OPTIONS = ['base', 'verifyBase', 'name', 'activate', 'readOnly', 'saveEveryBytes', 'onProgress', 'signal']

interface Receiving {
  readonly pool: ThinPool
  readonly record: PoolRecord
  readonly options: ReceiveOptions
}

/**
 * Receives a stream of `sendVolume` into a new volume of the pool, and returns it, inactive unless `activate` is given. With
 * an incremental stream, the new volume is a snapshot of `base` to which the changes were written. The pool must have a
 * record. Waits while another call receives into the pool.
 *
 * If the source is a stream of this library, the volume that it sends is as before when the call resolves.
 *
 * The volume is complete and verified when it appears without the mark in the record. If the call fails, nothing is left; if
 * it is killed, the next call deletes what is left. With `saveEveryBytes`, what was received is kept instead: see
 * `interruptedReceives`. The source is destroyed if the call fails.
 *
 * Rejects with `DM_TRANSFER_INVALID`, whose `detail` is the reason, `DM_VOLUME_ACTIVE` (the base is active for writing),
 * `DM_BUSY` (an interrupted volume is mounted), `DM_UNSUPPORTED` (no record; a pool in memory, or of another program),
 * `DM_RECORD`, `DM_POOL_FULL`, `DM_POOL_RESERVE`, `DM_POOL_WORN`, `DM_POOL_READ_ONLY`, `DM_POOL_FAILED`, `DM_NOT_COMMITTED`,
 * `DM_KERNEL` (ENOSPC …), `DM_VOLUME_NOT_FOUND`, `DM_NAME_TAKEN`, `DM_INVALID_ARGUMENT`, `ABORT_ERR`.
 */
export async function receiveVolume(
  pool: ThinPool,
  source: ByteSource,
  options: ReceiveOptions = {},
): Promise<ThinVolume> {
  checkOptions(options, OPTIONS, 'receiveVolume')
  const { base, signal } = options
  if (options.name !== undefined) checkName(options.name)
  if (options.saveEveryBytes !== undefined) checkNumber('saveEveryBytes', options.saveEveryBytes, { min: SECTOR_BYTES })
  for (const name of ['verifyBase', 'activate', 'readOnly'] as const) checkBoolean(name, options[name])
  checkSource(source)
  if (base !== undefined && !(base instanceof ThinVolume && base.belongsTo(pool.context))) {
    throw invalid('base must be a volume of the pool')
  }
  const reader = new ByteReader(source, signal)
  try {
    const volume = await withoutOthers(pool, signal, record => receive({ pool, record, options }, reader))
    await reader.end()
    return volume
  } catch (fault) {
    reader.close()
    throw fault
  }
}

export function checkSource(source: unknown): void {
  if (typeof (source as Partial<ByteSource> | undefined)?.[Symbol.asyncIterator] === 'function') return
  throw invalid('source must be a stream or another async iterable of bytes')
}

async function receive(receiving: Receiving, reader: ByteReader): Promise<ThinVolume> {
  const { pool, options } = receiving
  const beginning = await readHeader(reader)
  const { header } = beginning
  if (header.dataBlockBytes !== pool.dataBlockBytes) {
    const text = `the blocks of the stream have ${header.dataBlockBytes} bytes, those of the pool ${pool.dataBlockBytes}`
    throw invalidTransfer('block-size', text)
  }
  const { resume } = header
  const work = resume
    ? await continued(pool, { ...header, resume }, options.base, options.signal)
    : await begun(receiving, header)
  await write(receiving, work, reader, beginning)
  return finish(receiving, work, header)
}

/** Creates the volume to which the stream is written. */
async function begun({ pool, options }: Receiving, header: StreamHeader): Promise<ThinVolume> {
  const { base, signal, verifyBase = false } = options
  const checked = await checkBase(header, { pool, base, verifyBase, signal })
  const work = await createUnfinished(pool.context, { sizeBytes: header.sizeBytes, origin: base?.id }, signal)
  await checked?.checkSnapshot(work)
  return work
}

async function write(receiving: Receiving, work: ThinVolume, reader: ByteReader, beginning: Beginning): Promise<void> {
  const { onProgress, signal } = receiving.options
  const wanted = signalOption(signal)
  if (!work.active) await work.activate(wanted)
  try {
    const device = await BlockDevice.open(work.path, { exclusive: true, ...wanted })
    try {
      const saving = await savingOf(receiving, work, beginning.header, device)
      await applyRecords(reader, beginning, { device, onProgress, signal, saving })
      await device.flush(wanted)
    } finally {
      await device.close()
    }
  } catch (fault) {
    await work.deactivate().catch(() => {}) // it is kept, or deleted by others
    throw fault
  }
  await work.deactivate(wanted)
}

/** Returns what makes the receive one that can continue. One that continues is such a receive already. */
async function savingOf(
  { pool, record, options: { saveEveryBytes, signal } }: Receiving,
  work: ThinVolume,
  { target, base, resume }: StreamHeader,
  device: BlockDevice,
): Promise<Saving | undefined> {
  if (saveEveryBytes === undefined && !resume) return undefined
  const { time } = await keptState(pool.context, work.id, signal)
  const at = (offset: number) => recordPartial(record, work, { target, base, offset, time })
  // The activation was recorded as one for writing.
  if (resume) await at(resume.offset)
  const save = async (offset: number) => {
    await device.flush()
    await at(offset)
  }
  return { everyBytes: saveEveryBytes ?? Infinity, save }
}

/** Makes the result: a snapshot, all of whose mappings are older than itself, so that a later write can be recognised. */
async function finish(
  { pool, record, options }: Receiving,
  work: ThinVolume,
  header: StreamHeader,
): Promise<ThinVolume> {
  const { name, signal, activate, readOnly = false } = options
  const { context } = pool
  const { sizeBytes, target } = header
  const { origin } = work
  const { id } = await createUnfinished(context, { sizeBytes, origin: work.id, name }, signal)
  const kept = await keptState(context, id, signal)
  await checkNotRolledBack(context, signal)
  const volume = new ThinVolume(context, { id, sizeBytes, origin, name })
  const result = { name: volume.name, sizeBytes, origin, received: { sent: target, kept } }
  await record.put([
    [id, result],
    [work.id, { name: work.name, sizeBytes, receiving: true }],
  ])
  await work.delete().catch(() => {}) // the next call deletes it
  if (activate) {
    try {
      await volume.activate({ readOnly, ...signalOption(signal) })
    } catch (fault) {
      await volume.delete()
      throw fault
    }
  }
  return volume
}
