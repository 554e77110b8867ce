// Signatures on a pool's devices, checked before anything is written to them.
import { SIGNATURE_BLOCK_BYTES, signatureBlocks, signaturesIn } from '../../filesystem/signatures.js'
import type { Rollback } from '../../base/rollback.js'
import { DmThinError } from '../../base/errors.js'
import type { KernelPort } from '../../kernel/port/kernel-port.js'
import type { Handle } from '../../kernel/port/handle.js'
import type { Backing } from './backing.js'

const ZEROS = Buffer.alloc(SIGNATURE_BLOCK_BYTES)

/**
 * Locks the nodes (flock) while a pool is created on them, one after the other by device number, so that two calls
 * cannot deadlock. Returns the function that releases them.
 */
export async function lockNodes(
  port: KernelPort,
  backings: readonly Backing[],
  rollback: Rollback,
  signal?: AbortSignal,
): Promise<() => Promise<void>> {
  const held: Handle[] = []
  const release = async () => {
    for (const handle of held.splice(0)) await port.release(handle)
  }
  rollback.push('release', 'locks', () => release().then(() => false), { always: true })
  const byNumber = [...backings].sort((one, other) => one.device - other.device)
  for (const { path } of byNumber) held.push(await port.lockNode(path, signal))
  return release
}

/**
 * Rejects with `DM_SIGNATURE_FOUND` if a device holds a signature, and with `DM_BUSY` if it is mounted or otherwise in
 * use.
 */
export async function refuseSignatures(
  port: KernelPort,
  role: string,
  backing: Backing,
  signal?: AbortSignal,
): Promise<void> {
  const found = await signaturesOn(port, backing, signal)
  if (found.length === 0) return
  const what = found.join(', ')
  const text = `${role} ${backing.path} holds ${what}; format: 'overwrite' discards it, or wipe it (wipefs)`
  throw new DmThinError('DM_SIGNATURE_FOUND', text, { device: backing.path, detail: what })
}

/**
 * Zeroes each block that may hold a signature, if there is one. A pool writes to its data device only what its volumes
 * write: until then, blkid, udev and people would misidentify the device.
 */
export async function eraseSignatures(port: KernelPort, backing: Backing, signal?: AbortSignal): Promise<void> {
  if ((await signaturesOn(port, backing, signal)).length === 0) return
  await port.zeroBlocks(backing.path, signatureBlocks(backing.sizeBytes), SIGNATURE_BLOCK_BYTES, signal)
}

async function signaturesOn(port: KernelPort, { path, sizeBytes }: Backing, signal?: AbortSignal): Promise<string[]> {
  const numbers = signatureBlocks(sizeBytes)
  const blocks = await port.readBlocks(path, numbers, SIGNATURE_BLOCK_BYTES, true, signal)
  // Most devices are blank, and comparing with each magic takes a hundred times as long as comparing with zeros.
  const written = numbers.flatMap((number, at) => (ZEROS.equals(blocks[at]!) ? [] : [[number, blocks[at]!] as const]))
  return written.length === 0 ? [] : signaturesIn(sizeBytes, new Map(written))
}
