// Results: what a caller may read, told apart by the compiler. Compiled, never run.
import {
  DmThinError,
  LoopDevice,
  ThinPool,
  volumesOf,
  type ErrorCode,
  type FailedPoolStatus,
  type PoolMode,
  type ThinVolume,
  type VolumeResult,
  type VolumeStatus,
} from '../../lib/entry/index.js'

/** Compiles only where the two types are one. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
const same = <A, B>(_yes: Same<A, B>): void => {}

declare const pool: ThinPool
declare const volume: ThinVolume
declare const loop: LoopDevice

export async function values(): Promise<void> {
  const status = await pool.status()
  same<typeof status.mode, PoolMode>(true)
  // @ts-expect-error a failed pool has no numbers
  status.data.usedBytes
  same<NonNullable<typeof status.data>['usedBytes'], number>(true)
  if (status.mode === 'fail' || status.mode === 'error') {
    const failed: FailedPoolStatus = status
    void failed
    return
  }
  same<typeof status.transactionId, bigint>(true)
  same<typeof status.heldMetadataRoot, number | null>(true)
  same<typeof status.data.usedBytes, number>(true)
  same<PoolMode, 'rw' | 'ro' | 'out_of_data_space' | 'fail' | 'error'>(true)
  // @ts-expect-error bigint and number do not mix
  status.transactionId + 1

  same<typeof volume.path, string>(true)
  same<typeof volume.id, number>(true)
  same<typeof volume.active, boolean>(true)
  same<typeof volume.sizeBytes, number | undefined>(true)
  same<typeof loop.path, string>(true)
  same<Awaited<ReturnType<typeof loop.resize>>, number>(true)
  // @ts-expect-error what the kernel gave is not for writing
  volume.id = 7
  // @ts-expect-error what the kernel gave is not for writing
  status.data.usedBlocks = 0

  const { highestMappedByte } = await volume.status()
  // @ts-expect-error null where nothing is mapped
  highestMappedByte.toFixed()
  const activated: ThinVolume = await volume.activate()
  const removed = await pool.remove()
  same<typeof removed.files, readonly string[]>(true)
  void activated
}

export function many(results: VolumeResult<VolumeStatus>[]): number {
  let mapped = 0
  for (const result of results) {
    // @ts-expect-error whether there is a value, the status says
    result.value
    // @ts-expect-error whether there is a reason, the status says
    result.reason
    if (result.status === 'fulfilled') {
      // @ts-expect-error a volume of a failed pool tells no number
      mapped += result.value.mappedBytes
      if (result.value.state === 'active') mapped += result.value.mappedBytes
      // @ts-expect-error a success has no reason
      result.reason
    } else {
      same<typeof result.reason, DmThinError>(true)
      // @ts-expect-error a failure has no value
      result.value
    }
    const whose: ThinVolume = result.volume
    void whose
  }
  const list: ThinVolume[] = volumesOf(results)
  // @ts-expect-error only these two words
  if (results[0]?.status === 'ok') mapped = list.length
  return mapped
}

export function faults(fault: unknown): string {
  // @ts-expect-error anything can be thrown
  fault.code
  if (!(fault instanceof DmThinError)) return 'not ours'
  same<typeof fault.code, ErrorCode>(true)
  same<typeof fault.errno, number | undefined>(true)
  same<typeof fault.kernelReason, string | undefined>(true)
  // @ts-expect-error a code that does not exist
  if (fault.code === 'DM_BUZY') return 'misspelled'
  for (const holder of fault.holders) {
    same<typeof holder.kind, 'mount' | 'process' | 'device'>(true)
    same<typeof holder.pid, number>(true)
  }
  for (const step of fault.rollback) same<typeof step.errno, number>(true)
  switch (fault.code) {
    case 'DM_BUSY':
      return 'busy'
    case 'ABORT_ERR':
      return 'aborted'
    default:
      // @ts-expect-error the code says what happened, and stays
      fault.code = 'DM_BUSY'
      return fault.message
  }
}
