// The repair of a pool's metadata: takes the pool down, examines the metadata, and resolves the state that it is in.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { DmThinError, throwIfAborted, undefinedIf } from '../../base/errors.js'
import { invalid } from '../../base/options.js'
import { Rollback } from '../../base/rollback.js'
import { MAX_METADATA_BYTES, SECTOR_BYTES } from '../../base/units.js'
import { untilDetached } from '../../block/find-loop.js'
import { portOf } from '../../kernel/native-port.js'
import type { KernelPort } from '../../kernel/port/kernel-port.js'
import { METADATA_BLOCK_BYTES } from '../../metadata/block-source.js'
import { classifySuperblock } from '../../metadata/superblock.js'
import { checkByTool, examine, requireNative, type Examined } from '../check/examine-metadata.js'
import { isRepairable, resolvingCall, type PoolState } from '../check/pool-states.js'
import { attachBacking } from '../lifecycle/backing.js'
import { MIN_METADATA_BYTES, type DeviceSource, type OpenPoolOptions } from '../lifecycle/pool-options.js'
import { deviceKey, withPoolLock, type PoolLock } from '../state/locks.js'
import { findAtRest, type FoundAtRest, type Sources } from './pool-at-rest.js'
import { checkRepairOptions, type RepairPlan, type RepairPoolOptions } from './repair-options.js'
import { rebuild, write, type Rebuilt } from './rebuild.js'
import { deleteTemporaries, replaceFile, temporaryName } from './replace-file.js'
import { takeDown } from './remove-running.js'

/** A volume before and after a repair. */
export interface RepairedVolume {
  /** The thin id of the volume. */
  readonly id: number
  /** The data blocks that it mapped before; undefined if the list of volumes could not be read. */
  readonly mappedBlocksBefore: number | undefined
  /** The data blocks that it maps now; undefined if the volume is lost. */
  readonly mappedBlocks: number | undefined
}

/** The result of a repair. */
export interface Repair {
  /** The state before the repair. */
  readonly state: PoolState
  /** The faults before the repair, for people, as `ThinPool.check` returns them. */
  readonly details: readonly string[]
  /**
   * `none`: there was nothing to repair. `flag`: `thin_check` has found no fault and cleared the needs-check flag.
   * `thin_restore`: rebuilt of all volumes that could be read, in the state of the last commit. `thin_repair`: rebuilt of
   * the trees that this program has found, because the roots of the last commit could not be read; the volumes may be in
   * an older state.
   */
  readonly by: 'none' | 'flag' | Rebuilt['by']
  /** The file or device of the metadata from now on. */
  readonly metadata: DeviceSource
  /** The path of the original metadata if it was rebuilt: another name for the file, or the device. */
  readonly original: string | undefined
  /** The volumes before and after. Empty if the metadata was not rebuilt. */
  readonly volumes: readonly RepairedVolume[]
  /** The ids of volumes that are lost: known before, from the metadata or the record, and not there any more. */
  readonly lost: readonly number[]
}

/** Repairs the metadata. Returns also the options that open the pool. */
export async function repairMetadata(
  options: RepairPoolOptions,
): Promise<{ readonly repair: Repair; readonly open: OpenPoolOptions }> {
  const plan = checkRepairOptions(options)
  const { name, record } = plan
  const { signal, kernel } = options
  throwIfAborted(signal)
  const port = portOf(kernel)
  requireNative(port)
  return withPoolLock(port, name, signal, async lock => {
    const running = await port.deviceStatus({ name }, signal).catch(undefinedIf('DM_NOT_FOUND'))
    const down = running && (await takeDown(port, running, plan, lock, signal))
    const sources = down?.sources ?? plan.plan
    if (!sources) {
      const text = `no pool "${name}" is active; pass data and metadata to repair its files or devices`
      throw new DmThinError('DM_NOT_FOUND', text, { device: name })
    }
    const metadata = await findAtRest(port, sources, { record, transactionId: undefined }, lock, signal)
    const dataBlockBytes = plan.plan?.dataBlockBytes ?? down?.options.dataBlockBytes
    const repair = await resolve(plan, metadata, dataBlockBytes, lock, signal)
    return { repair, open: openOptions(options, sources, down?.options, repair.metadata) }
  })
}

/** Returns the options that open the repaired pool: those of the caller, and then those that the pool had. */
function openOptions(
  options: RepairPoolOptions,
  { data }: Sources,
  before: Partial<OpenPoolOptions> | undefined,
  metadata: DeviceSource,
): OpenPoolOptions {
  const { deactivate: _, timeoutMs: _2, to: _3, transactionId: _4, ...given } = options
  return { ...before, ...given, data, metadata }
}

async function resolve(
  plan: RepairPlan,
  metadata: FoundAtRest,
  dataBlockBytes: number | undefined,
  lock: PoolLock,
  signal?: AbortSignal,
): Promise<Repair> {
  const { port, source } = metadata
  const examined = await examine(metadata, 'full', signal)
  const { state, details } = examined
  const unchanged = { state, details, metadata: source.given, original: undefined, volumes: [], lost: [] }
  if (state === 'ok') return { ...unchanged, by: 'none' }
  if (!isRepairable(state)) throw notRepairable(plan.name, metadata.path, examined)
  if (state === 'needs-check') {
    await clearFlag(port, metadata, signal)
    return { ...unchanged, by: 'flag' }
  }
  const known = { dataBlockBytes, transactionId: plan.transactionId }
  const { rebuilt, original, now } = await ('device' in source.given
    ? rebuildDevice(plan, metadata, examined, known, lock, signal)
    : rebuildFile(plan, metadata, examined, known, signal))
  return { state, details, by: rebuilt.by, original, metadata: now, ...compared(metadata, examined, rebuilt) }
}

type Known = Parameters<typeof rebuild>[2]
interface InPlace {
  readonly rebuilt: Rebuilt
  readonly original: string
  readonly now: DeviceSource
}

/** Writes repaired metadata to a new file beside the original, which it replaces when it is complete. */
async function rebuildFile(
  { to }: RepairPlan,
  metadata: FoundAtRest,
  examined: Examined,
  known: Known,
  signal?: AbortSignal,
): Promise<InPlace> {
  const { port, path: file } = metadata
  if (to !== undefined) throw invalid(`to is for metadata on a block device; ${file} is a file, which gets a new one`)
  await deleteTemporaries(file)
  const output = temporaryName(file)
  const sizeBytes = wantedBytes(metadata, examined)
  try {
    await port.createSparse(output, sizeBytes, signal)
    const rebuilt = await rebuild(metadata, examined, known, { path: output, sizeBytes, xml: `${output}.xml` }, signal)
    throwIfAborted(signal)
    return { rebuilt, original: await replaceFile(file, output), now: metadata.source.given }
  } finally {
    await rm(output, { force: true })
  }
}

/** Writes repaired metadata to the device that the caller has given. */
async function rebuildDevice(
  { name, to }: RepairPlan,
  metadata: FoundAtRest,
  examined: Examined,
  known: Known,
  lock: PoolLock,
  signal?: AbortSignal,
): Promise<InPlace> {
  const { port, path: original } = metadata
  if (to === undefined) {
    const text = `the metadata of pool ${name} on ${original} must be rebuilt (${examined.state}): pass a blank block device for it as \`to\``
    throw new DmThinError('DM_REPAIR_FAILED', text, { device: original, detail: examined.state })
  }
  const { blockDevice, targetDevice } = await port.identify(to, signal)
  if (!blockDevice) throw invalid(`to ${JSON.stringify(to)} is not a block device`)
  await lock.takeBackings([...metadata.keys, await deviceKey(port, targetDevice, signal)])
  const sizeBytes = await port.blockSizeBytes(to, signal)
  const [first] = await port.readBlocks(to, [0], METADATA_BLOCK_BYTES, true, signal)
  if (classifySuperblock(first!).kind !== 'blank') {
    const text = `${to} is not blank: zero its first 4096 bytes to use it for the repaired metadata`
    throw new DmThinError('DM_METADATA_NOT_BLANK', text, { device: to })
  }
  const folder = await mkdtemp(path.join(tmpdir(), 'dm-thin-repair-'))
  try {
    const output = { path: to, sizeBytes, xml: path.join(folder, 'metadata.xml') }
    const rebuilt = await rebuild(metadata, examined, known, output, signal)
    return { rebuilt, original, now: { device: to } }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

function wantedBytes({ metadataBytes }: FoundAtRest, { superblock }: Examined): number {
  const wanted = Math.max(metadataBytes, (superblock?.metadataSpaceMap.blocks ?? 0) * METADATA_BLOCK_BYTES)
  const bytes = Math.min(MAX_METADATA_BYTES, Math.max(MIN_METADATA_BYTES, wanted))
  return bytes - (bytes % SECTOR_BYTES)
}

/**
 * Clears the needs-check flag after a check without faults. A file is attached, so that the program claims the device: if
 * this process is killed, no pool can start on the metadata before the program has ended.
 */
async function clearFlag(port: KernelPort, metadata: FoundAtRest, signal?: AbortSignal): Promise<void> {
  const rollback = new Rollback()
  await rollback.guard(async () => {
    const backing = await attachBacking(port, metadata.source, rollback, false, signal)
    await write('thin_check', ['--clear-needs-check-flag', backing.path], backing.path, signal)
    const fault = await checkByTool(backing.path, signal)
    if (fault) throw new DmThinError('DM_REPAIR_FAILED', `${metadata.path}: ${fault.details.at(-1)}`)
    if (backing.held === undefined) return
    await port.release(backing.held)
    const loop = (await port.loopList()).find(({ number }) => backing.path === `/dev/loop${number}`)
    if (loop) await untilDetached(port, loop, 5_000)
  })
}

function notRepairable(name: string, device: string, { state, details }: Examined): DmThinError {
  const text = `the metadata of pool ${name} on ${device} is in the state ${state} (${details.at(-1)}), which repair does not resolve`
  const code = state === 'blank' ? 'DM_METADATA_BLANK' : 'DM_POOL_MISMATCH'
  return new DmThinError(code, `${text}; call ${resolvingCall(state, name)}`, { device, detail: state })
}

function compared({ record }: FoundAtRest, { volumes: before }: Examined, { volumes: after }: Rebuilt) {
  const mapped = (volumes: readonly { id: number; mappedBlocks: number }[] | undefined) =>
    new Map(volumes?.map(({ id, mappedBlocks }) => [id, mappedBlocks]))
  const [was, is] = [mapped(before), mapped(after)]
  const known = [...new Set([...was.keys(), ...(record?.volumes.keys() ?? []), ...is.keys()])].sort((a, b) => a - b)
  const volumes = known.map(id => ({ id, mappedBlocksBefore: was.get(id), mappedBlocks: is.get(id) }))
  return { volumes, lost: known.filter(id => !is.has(id)) }
}
