// Options of pools that do not exist yet, and what must hold when creating one is refused.
import { existsSync, statSync } from 'node:fs'
import { type CreatePoolOptions, type DmThinError, type ErrorCode, MiB, ThinPool } from '../../../lib/entry/index.js'
import { expectCode } from '../errors/expect-code.js'
import { snapshotKernelState } from '../kernel/kernel-state.js'
import type { Scratch } from '../kernel/scratch.js'

let files = 0

/** Options for a pool over files that do not exist yet. */
export function freshPool(scratch: Scratch, changes: Partial<CreatePoolOptions> = {}) {
  files += 1
  const options = {
    name: scratch.name('pool'),
    data: { file: scratch.path(`data-${files}`), sizeBytes: 64 * MiB },
    metadata: { file: scratch.path(`metadata-${files}`), sizeBytes: 4 * MiB },
  }
  return { ...options, ...changes } as CreatePoolOptions & { data: { file: string } }
}

/** Expects the refusal, and the kernel and the files to be as they were. */
export async function refusedPool(options: CreatePoolOptions, code: ErrorCode): Promise<DmThinError> {
  const sources = [options.data, options.metadata].flatMap(source => ('file' in source ? [source.file] : []))
  const sizes = () => sources.map(file => (existsSync(file) ? statSync(file).size : undefined))
  const before = { state: await snapshotKernelState(), sizes: sizes() }
  const fault = await expectCode(ThinPool.create(options), code)
  expect({ state: await snapshotKernelState(), sizes: sizes() }).toEqual(before)
  return fault
}
