// A small pool for one test, and what must be true when it goes: nothing left, and metadata that thin_check passes.
import { existsSync, rmSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { realpathSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { type CreatePoolOptions, MiB, ThinPool } from '../../../lib/entry/index.js'
import { nativePort } from '../../../lib/kernel/native-port.js'
import { MARK } from '../kernel/kernel-state.js'
import { checkLater } from '../metadata/check.js'
import { markedName } from '../kernel/scratch.js'
import { dmInfo, dmResume } from '../kernel/dmsetup.js'

export interface TestPoolOptions extends Partial<CreatePoolOptions> {
  /** Size of the sparse data file. Default 64 MiB. */
  readonly dataBytes?: number
  /** Size of the sparse metadata file. Default 4 MiB. */
  readonly metadataBytes?: number
  /** What thin_check is told at teardown; false only where the test damages the metadata on purpose. */
  readonly check?: false | readonly string[]
}

export interface PoolFiles {
  readonly name: string
  readonly dataFile: string
  readonly metadataFile: string
  /** The options that bring this pool back with ThinPool.open. */
  readonly reopen: { readonly name: string; readonly data: { file: string }; readonly metadata: { file: string } }
}

type Body<T> = (pool: ThinPool, files: PoolFiles) => Promise<T>

/**
 * Makes a pool, runs `body`, takes the pool down (active volumes too) and has its metadata checked, by the end of the file. When `body` fails
 * its fault is the one that counts, and the sweep after the test clears up.
 */
export async function withPool<T>(body: Body<T>): Promise<T>
export async function withPool<T>(options: TestPoolOptions, body: Body<T>): Promise<T>
export async function withPool<T>(first: TestPoolOptions | Body<T>, second?: Body<T>): Promise<T> {
  const [options, body] = typeof first === 'function' ? [{}, first] : [first, second!]
  const { dataBytes = 64 * MiB, metadataBytes = 4 * MiB, check = [], ...given } = options
  const directory = await mkdtemp(path.join(realpathSync(tmpdir()), MARK))
  const name = given.name ?? markedName('pool')
  const dataFile = path.join(directory, 'data.img')
  const metadataFile = path.join(directory, 'metadata.img')
  const reopen = { name, data: { file: dataFile }, metadata: { file: metadataFile } }
  const pool = await ThinPool.create({
    name,
    data: { file: dataFile, sizeBytes: dataBytes },
    metadata: { file: metadataFile, sizeBytes: metadataBytes },
    ...given,
  })
  const result = await body(pool, { name, dataFile, metadataFile, reopen })
  await takeDown(name)
  const forget = () => rmSync(directory, { recursive: true })
  if (check !== false && existsSync(metadataFile)) checkLater(metadataFile, check, forget)
  else forget()
  return result
}

/** Takes the pool of this name down, if it runs, in whatever state the test has left it. */
export async function takeDown(name: string): Promise<void> {
  const info = dmInfo(name)
  if (!info) return
  if (info.suspended) dmResume(name)
  const pool = await ThinPool.open({ name, repair: false })
  await pool.remove({ deactivate: true })
}

/** Attaches files by the kernel port, for as long as `body` runs, whatever becomes of it: their numbers as `7:3`. */
export async function withLoops<T>(files: readonly string[], body: (numbers: string[]) => Promise<T>): Promise<T> {
  const port = nativePort()
  const loops = await Promise.all(files.map(file => port.loopAttach({ file, autoclear: true })))
  try {
    return await body(loops.map(loop => `7:${loop.number}`))
  } finally {
    for (const { held } of loops) await port.release(held)
  }
}
