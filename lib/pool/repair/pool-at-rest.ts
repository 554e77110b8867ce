// The devices of a pool that does not run, locked, for a check or a repair of its metadata.
import { realpath } from 'node:fs/promises'
import { Rollback } from '../../base/rollback.js'
import { refuseAttached } from '../../block/find-loop.js'
import type { KernelPort } from '../../kernel/port/kernel-port.js'
import type { AtRest } from '../check/examine-metadata.js'
import { findBoth, type Source } from '../lifecycle/backing.js'
import type { DeviceSource } from '../lifecycle/pool-options.js'
import type { PoolLock } from '../state/locks.js'
import { readRecord } from '../state/record.js'

/** The devices of a pool. */
export interface Sources {
  readonly data: DeviceSource
  readonly metadata: DeviceSource
}

/** Metadata at rest, and the source that it was found by. */
export interface FoundAtRest extends AtRest {
  readonly source: Source
  /** The keys of the locks of both devices. */
  readonly keys: readonly string[]
}

/** Finds the devices and takes their locks. Rejects with `DM_BUSY` if something has attached the file of the metadata. */
export async function findAtRest(
  port: KernelPort,
  sources: Sources,
  known: { readonly record: string | undefined; readonly transactionId: bigint | undefined },
  lock: PoolLock,
  signal?: AbortSignal,
): Promise<FoundAtRest> {
  const { data, metadata } = await findBoth(port, sources, lock, new Rollback(), false, signal)
  const record = known.record === undefined ? 'missing' : await readRecord(port, known.record)
  return {
    port,
    path: await pathOf(port, metadata, signal),
    metadataBytes: await sizeOf(port, metadata, signal),
    dataBytes: await sizeOf(port, data, signal),
    record: typeof record === 'object' ? record : undefined,
    transactionId: known.transactionId,
    source: metadata,
    keys: [data.key, metadata.key],
  }
}

async function pathOf(port: KernelPort, { given, identity }: Source, signal?: AbortSignal): Promise<string> {
  if ('device' in given) return given.device
  const file = await realpath(given.file)
  await refuseAttached(port, file, identity, ': detach it, or pass that device as metadata', signal)
  return file
}

const sizeOf = async (port: KernelPort, { given, identity }: Source, signal?: AbortSignal): Promise<number> =>
  'device' in given ? port.blockSizeBytes(given.device, signal) : identity.sizeBytes
