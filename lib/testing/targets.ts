// The targets of the memory kernel: error, zero, linear, thin-pool and thin, with the status lines of the kernel.
import { ERRNO } from '../base/errors.js'
import type { TargetLine } from '../kernel/port/device-port.js'
import { deviceNumber } from '../base/device-number.js'
import { parsePoolTable, type PoolTable } from '../target/thin-pool.js'
import { SECTOR_BYTES } from '../base/units.js'
import type { BlockDevice } from './block-device.js'
import { deviceId, type MemoryPool } from './memory-pool.js'
import type { Thin } from './pool-metadata.js'
import { IoError, TableRefusal } from './refusal.js'

/** The target of one line of a table. Offsets are relative to the start of the line. */
export interface Target {
  readonly line: TargetLine
  /** The pool of a thin-pool or thin target. */
  readonly pool?: MemoryPool
  readonly thinId?: number
  /** Returns the parameters of the line, for DM_STATUS_TABLE_FLAG. */
  table(): string
  status(): string
  read(offset: number, length: number): Uint8Array
  write(offset: number, content: Uint8Array): void
  discard?(offset: number, length: number): void
  /** Processes a message. Returns an errno. */
  message?(words: readonly string[]): number
  /** Returns whether the devices that it names are large enough. */
  fits?(): boolean
  /** Prepares the target before its table becomes live. Returns an errno. */
  preresume?(): number
  destroy(): void
}

/** The functions of the device mapper that a target uses while its table is loaded. */
export interface TargetContext {
  /** Opens a device until the table is destroyed. */
  open(text: string, reason: string): BlockDevice
  /** Returns the pool of this metadata, or creates it. Counts its users until `destroy`. */
  takePool(metadata: BlockDevice, data: BlockDevice, table: PoolTable): MemoryPool
  /** Returns the pool of a mapped device. Counts its users too. */
  joinPool(device: BlockDevice): MemoryPool
  releasePool(pool: MemoryPool): void
}

type TargetFactory = (line: TargetLine, words: readonly string[], context: TargetContext) => Target

const failing = (): never => {
  throw new IoError('EIO')
}

const plain = (line: TargetLine, rest: Pick<Target, 'read' | 'write'> & Partial<Target>): Target => ({
  line,
  table: () => line.parameters,
  status: () => '',
  destroy: () => {},
  ...rest,
})

const error: TargetFactory = line => plain(line, { read: failing, write: failing })

const zero: TargetFactory = (line, words) => {
  if (words.length > 0) throw new TableRefusal(ERRNO.EINVAL, 'No arguments required')
  return plain(line, { read: (_, length) => new Uint8Array(length), write: () => {} })
}

const linear: TargetFactory = (line, words, context) => {
  if (words.length !== 2) throw new TableRefusal(ERRNO.EINVAL, 'Invalid argument count')
  if (!/^\d+$/.test(words[1]!)) throw new TableRefusal(ERRNO.EINVAL, 'Invalid device sector')
  const below = context.open(words[0]!, 'Device lookup failed')
  const start = Number(words[1])
  const at = (offset: number) => start * SECTOR_BYTES + offset
  return plain(line, {
    table: () => `${deviceNumber(below.number)} ${start}`,
    fits: () => (start + line.lengthSectors) * SECTOR_BYTES <= below.sizeBytes,
    read: (offset, length) => below.read(at(offset), length),
    write: (offset, content) => below.write(at(offset), content),
  })
}

const FEATURES = ['skip_block_zeroing', 'ignore_discard', 'no_discard_passdown', 'read_only', 'error_if_no_space']

const thinPool: TargetFactory = (line, words, context) => {
  if (words.length < 4) throw new TableRefusal(ERRNO.EINVAL, 'Invalid argument count')
  const features = words.slice(5)
  if (words.length > 4 && features.length < Number(words[4]))
    throw new TableRefusal(ERRNO.EINVAL, 'not enough arguments')
  if (features.some(word => !FEATURES.includes(word))) {
    throw new TableRefusal(ERRNO.EINVAL, 'Unrecognised pool feature requested')
  }
  const metadata = context.open(words[0]!, 'Error opening metadata block device')
  const data = context.open(words[1]!, 'Error getting data device')
  const block = /^\d+$/.test(words[2]!) ? Number(words[2]) : 0
  if (block < 128 || block > 2097152 || block % 128 !== 0) throw new TableRefusal(ERRNO.EINVAL, 'Invalid block size')
  if (!/^\d+$/.test(words[3]!)) throw new TableRefusal(ERRNO.EINVAL, 'Invalid low water mark')
  if (metadata === data) throw new TableRefusal(ERRNO.EINVAL, 'Error setting metadata or data device')
  const table = parsePoolTable(line)
  const pool = context.takePool(metadata, data, table)
  const numbers = `${deviceNumber(metadata.number)} ${deviceNumber(data.number)}`
  const asked = FEATURES.filter(word => features.includes(word))
  return plain(line, {
    pool,
    table: () => [numbers, block, table.lowWaterBlocks, asked.length, ...asked, ''].join(' '),
    fits: () => line.lengthSectors * SECTOR_BYTES <= data.sizeBytes,
    status: () => pool.status(),
    read: (offset, length) => data.read(offset, length),
    write: (offset, content) => data.write(offset, content),
    message: said => pool.message(said),
    preresume: () => pool.bind(table),
    destroy: () => context.releasePool(pool),
  })
}

const thin: TargetFactory = (line, words, context) => {
  if (words.length !== 2 && words.length !== 3) throw new TableRefusal(ERRNO.EINVAL, 'Invalid argument count')
  if (words[0] === words[2]) throw new TableRefusal(ERRNO.EINVAL, 'Error setting origin device')
  const origin = words[2] === undefined ? undefined : context.open(words[2], 'Error opening origin device')
  const device = context.open(words[0]!, 'Error opening pool device')
  const id = deviceId(words[1]!)
  if (id === undefined) throw new TableRefusal(ERRNO.EINVAL, 'Invalid device id')
  const pool = context.joinPool(device)
  let opened: { readonly thin: Thin; readonly close: () => void }
  try {
    opened = pool.openThin(id)
  } catch (fault) {
    context.releasePool(pool)
    throw fault
  }
  return plain(line, {
    pool,
    thinId: id,
    table: () =>
      pool.mode === 'fail'
        ? 'Fail'
        : `${deviceNumber(device.number)} ${id}${origin ? ` ${deviceNumber(origin.number)}` : ''}`,
    status: () => (pool.mode === 'fail' ? 'Fail' : thinStatus(opened.thin, pool.state.blockSectors)),
    read: (offset, length) => pool.read(opened.thin, offset, length, origin),
    write: (offset, content) => pool.write(opened.thin, offset, content, origin),
    discard: (offset, length) => pool.discard(opened.thin, offset, length),
    destroy: () => {
      opened.close()
      context.releasePool(pool)
    },
  })
}

function thinStatus({ mappings }: Thin, blockSectors: number): string {
  if (mappings.size === 0) return '0 -'
  let highest = 0
  for (const virtual of mappings.keys()) highest = Math.max(highest, virtual)
  return `${mappings.size * blockSectors} ${(highest + 1) * blockSectors - 1}`
}

export const TARGETS: Readonly<Record<string, { readonly make: TargetFactory; readonly version: readonly number[] }>> =
  {
    error: { make: error, version: [1, 7, 0] },
    linear: { make: linear, version: [1, 4, 0] },
    thin: { make: thin, version: [1, 23, 0] },
    'thin-pool': { make: thinPool, version: [1, 23, 0] },
    zero: { make: zero, version: [1, 2, 0] },
  }
