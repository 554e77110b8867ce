// Taking a pool apart, top down: volumes, pool, loop devices, files.
import { describeHolders } from '../device/holders.js'
import { DmThinError } from '../errors.js'
import type { LoopStatus } from '../kernel/port.js'
import type { SignalOption } from '../names.js'
import { untilDetached } from './backing.js'
import { checkUp, poolTable, type PoolContext } from './context.js'
import { loopOf } from './open.js'

export interface RemovePoolOptions extends SignalOption {
  /** Deactivate active volumes first; without it they are a reason to refuse (`DM_POOL_IN_USE`). Default false. */
  readonly deactivate?: boolean
  /** Delete the files below the pool's loop devices: the volumes are gone then. Default false. */
  readonly deleteFiles?: boolean
  /** How long busy devices are tried, in milliseconds, each. Default 10 000. */
  readonly timeoutMs?: number
}

/** What was taken away. */
export interface RemovedPool {
  readonly pool: string
  /** Names of the mapped devices of volumes. */
  readonly volumes: readonly string[]
  /** `/dev/loop3` … */
  readonly loops: readonly string[]
  /** Deleted files. */
  readonly files: readonly string[]
}

export async function removePool(
  context: PoolContext,
  options: { deactivate: boolean; deleteFiles: boolean; limitMs: number; signal?: AbortSignal | undefined },
): Promise<RemovedPool> {
  const { port, name, device } = context
  const { limitMs, signal } = options
  await checkUp(context, signal)
  const table = await poolTable(port, name, signal)
  const loops: LoopStatus[] = []
  for (const number of [table.dataDevice, table.metadataDevice]) {
    const loop = await loopOf(port, number, signal)
    if (loop) loops.push(loop)
  }
  const volumes = await port.activeThins(device, signal)
  if (volumes.length > 0 && !options.deactivate) {
    const names = volumes.slice(0, 5).map(volume => volume.name)
    const more = volumes.length > names.length ? ` and ${volumes.length - names.length} more` : ''
    const text = `pool ${name} has active volumes: ${names.join(', ')}${more}; deactivate them or pass deactivate: true`
    throw new DmThinError('DM_POOL_IN_USE', text, { device: name })
  }
  const outcomes = await Promise.allSettled(
    volumes.map(volume =>
      describeHolders(port, volume.device, volume.name, () => port.remove({ name: volume.name }, limitMs, signal)),
    ),
  )
  for (const volume of volumes) port.mapperLinks.drop(volume.name)
  const stuck = outcomes.find(outcome => outcome.status === 'rejected')
  if (stuck) throw stuck.reason
  await describeHolders(port, device, name, () => port.remove({ name }, limitMs, signal))
  port.mapperLinks.drop(name)
  // The pool is down and cannot come back by itself: from here on cancelling would only leave loop devices behind.
  for (const loop of loops) {
    if (loop.autoclear) await untilDetached(port, loop, limitMs)
    else await port.loopDetach(loop.number, limitMs)
  }
  const files = options.deleteFiles ? loops.map(loop => loop.file) : []
  for (const file of files) await port.deleteFile(file)
  return {
    pool: name,
    volumes: volumes.map(volume => volume.name),
    loops: loops.map(loop => `/dev/loop${loop.number}`),
    files,
  }
}
