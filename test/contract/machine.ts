// What a contract case needs of a kernel, whichever it is.
import type { CreatePoolOptions, Kernel } from '../../lib/entry/index.js'
import { KiB, MiB, ThinPool } from '../../lib/entry/index.js'
import type { KernelPort } from '../../lib/kernel/port/kernel-port.js'
import type { TargetLine } from '../../lib/kernel/port/device-port.js'

export interface Machine {
  readonly port: KernelPort
  /** Undefined for the machine's own kernel. */
  readonly kernel: Kernel | undefined
  /** A name that nothing else has. */
  readonly name: (label: string) => string
  /** Path of a file that is not there. */
  readonly path: (label: string) => string
  /** Writes and flushes. Rejects with `code`. */
  readonly write: (node: string, offset: number, content: Uint8Array) => Promise<void>
  /** Writes a block of zeros past every cache: '' or the name of its error. */
  readonly writeDirect: (node: string, block: number) => Promise<string>
  readonly read: (node: string, offset: number, length: number) => Promise<Uint8Array>
  /** Discards what is covered. */
  readonly discard: (node: string, offset: number, length: number) => Promise<void>
  /** Keeps a device open until the answer is called. */
  readonly hold: (node: string) => () => void
}

export interface Case {
  readonly title: string
  readonly run: (machine: Machine) => Promise<void>
}

export const BLOCK = 64 * KiB

export interface PoolAtHand {
  readonly pool: ThinPool
  readonly name: string
  /** `253:0` of the pool, of its metadata and of its data. */
  readonly numbers: { readonly pool: string; readonly metadata: string; readonly data: string }
  readonly device: number
  /** Opens the same pool again. */
  readonly reopen: CreatePoolOptions
  readonly message: (text: string) => Promise<string>
  /** Messages and their errno: 0 where it was taken. */
  readonly errnos: (texts: readonly string[]) => Promise<Record<string, number>>
  readonly statusLine: () => Promise<string>
  readonly eventNumber: () => Promise<number>
}

/** A pool of 16 blocks, unless `options` say otherwise, for as long as `body` runs. */
export async function withPool(
  machine: Machine,
  body: (at: PoolAtHand) => Promise<void>,
  options: Partial<CreatePoolOptions> & { readonly blocks?: number; readonly metadataBytes?: number } = {},
): Promise<void> {
  const { blocks = 16, metadataBytes = 4 * MiB, ...given } = options
  const { port } = machine
  const reopen: CreatePoolOptions = {
    ...(machine.kernel && { kernel: machine.kernel }),
    name: machine.name('pool'),
    data: { file: machine.path('data'), sizeBytes: blocks * BLOCK },
    metadata: { file: machine.path('metadata'), sizeBytes: metadataBytes },
    ...given,
  }
  const pool = await ThinPool.create(reopen)
  const name = pool.name
  await body(await atHand(machine, pool, reopen))
  const { flags } = await port.deviceStatus({ name }).catch(() => ({ flags: -1 }))
  if (flags === -1) return
  if ((flags & 2) !== 0) await port.resume({ name })
  const again = await ThinPool.open({ name, repair: false, ...(machine.kernel && { kernel: machine.kernel }) })
  await again.remove({ deactivate: true, deleteFiles: true })
}

export async function atHand(machine: Machine, pool: ThinPool, reopen: CreatePoolOptions): Promise<PoolAtHand> {
  const { port } = machine
  const { name } = pool
  const [table] = await port.tableStatus({ name }, 0x810)
  const [metadata = '', data = ''] = table!.parameters.split(' ')
  const { device } = await port.deviceStatus({ name })
  const message = (text: string) => port.targetMessage({ name }, 0, text)
  return {
    pool,
    name,
    device,
    numbers: { pool: numberOf(device), metadata, data },
    reopen,
    message,
    errnos: async texts => {
      const found: Record<string, number> = {}
      for (const text of texts) found[text] = await errnoOf(message(text))
      return found
    },
    statusLine: async () => (await port.tableStatus({ name }, 0x800))[0]!.parameters.trim(),
    eventNumber: async () => (await port.deviceStatus({ name })).eventNumber,
  }
}

export const numberOf = (device: number): string =>
  `${(device >>> 8) & 0xfff}:${(device & 0xff) | ((device >>> 12) & 0xfff00)}`

export const nodeOf = (device: number): string => `/dev/dm-${numberOf(device).split(':')[1]}`

/** The errno with which a call is refused; 0 where it is not. */
export const errnoOf = (call: Promise<unknown>): Promise<number> =>
  call.then(
    () => 0,
    (fault: { errno?: number }) => fault.errno ?? -1,
  )

/** 0, 1 or more lines of a table, one sector count each. */
export const line = (type: string, parameters = '', lengthSectors = 8, startSectors = 0): TargetLine => ({
  startSectors,
  lengthSectors,
  type,
  parameters,
})

/** A device with a live table, removed after `body`. */
export async function withDevice(
  { port, name }: Machine,
  body: (at: { readonly name: string; readonly device: number; readonly uuid: string }) => Promise<void>,
  table: readonly TargetLine[] = [line('zero')],
): Promise<void> {
  const own = name('device')
  const { device } = await port.activate({ name: own, uuid: `${own}-uuid`, table })
  await body({ name: own, device, uuid: `${own}-uuid` })
  await port.remove({ device }, 5_000)
}

/** Loop devices over new files, as `7:0`, for as long as `body` runs. */
export async function withLoops(
  machine: Machine,
  sizes: readonly number[],
  body: (numbers: string[], files: string[]) => Promise<void>,
): Promise<void> {
  const { port } = machine
  const files = sizes.map((_, at) => machine.path(`loop-${at}`))
  for (const [at, sizeBytes] of sizes.entries()) await port.createSparse(files[at]!, sizeBytes)
  const loops = []
  for (const file of files) loops.push(await port.loopAttach({ file, autoclear: true }))
  try {
    await body(
      loops.map(loop => `7:${loop.number}`),
      files,
    )
  } finally {
    for (const { held } of loops) await port.release(held)
    for (const file of files) await port.deleteFile(file)
  }
}

/** `length` bytes that begin alike for one seed only. */
export const content = (seed: number, length = BLOCK): Uint8Array => new Uint8Array(length).fill(seed)
