// The external origin of a volume: the device that it reads at blocks of which it has none. It is the third word of the
// table, to be given at each activation.
import { nodePath } from '../../block/node-path.js'
import { ERRNO, type DmThinError } from '../../base/errors.js'
import { TABLE_FLAG, type TargetLine } from '../../kernel/port/device-port.js'
import { deviceMajor, deviceNumber, parseDeviceNumber } from '../../base/device-number.js'
import { checkPath, invalid } from '../../base/options.js'
import { poolTable, type PoolContext } from '../state/context.js'

export const originPath = (path: string | undefined): string | undefined =>
  path === undefined ? undefined : checkPath('externalOrigin', path)

/**
 * Returns the device number as the table has it, such as `7:3`. Rejects the pool's own devices and volumes, which would
 * make reads circular.
 */
export async function externalOriginNumber(pool: PoolContext, path: string, signal?: AbortSignal): Promise<string> {
  const { port } = pool
  const shown = `externalOrigin ${JSON.stringify(path)}`
  const { blockDevice, targetDevice } = await port.identify(path, signal)
  if (!blockDevice) throw invalid(`${shown} is not a block device; LoopDevice.attach makes one of a file`)
  const number = deviceNumber(targetDevice)
  const { dataDevice, metadataDevice } = await poolTable(pool, signal)
  if ([pool.number, dataDevice, metadataDevice].includes(number))
    throw invalid(`${shown} is a device of the pool itself`)
  if (deviceMajor(targetDevice) === deviceMajor(pool.device)) {
    const lines = await port.tableStatus({ device: targetDevice }, TABLE_FLAG.table | TABLE_FLAG.noflush, signal)
    const isVolume = lines.some(({ type, parameters }) => type === 'thin' && parameters.startsWith(`${pool.number} `))
    if (isVolume) throw invalid(`${shown} is a volume of the same pool; take a snapshot of it instead`)
  }
  return number
}

/**
 * Returns the node of an active volume's external origin, from its table line. The line of a volume of a failed pool
 * does not have it.
 */
export function externalOriginIn({ parameters }: TargetLine): string | undefined {
  const [, , origin] = parameters.trim().split(' ')
  return origin === undefined ? undefined : nodePath(origin)
}

/**
 * Refines EBUSY: the external origin cannot be one while something claims it exclusively, such as a mount. The kernel
 * returns EBUSY for nothing else here.
 */
export async function originInUse({ port }: PoolContext, table: TargetLine, fault: DmThinError): Promise<DmThinError> {
  const [, , origin] = table.parameters.split(' ')
  if (origin === undefined || fault.code !== 'DM_TABLE_REFUSED' || fault.errno !== ERRNO.EBUSY) return fault
  const path = nodePath(origin)
  const holders = await port.holders(parseDeviceNumber(origin) ?? 0).catch(() => [])
  const text = `the external origin ${path} is in use: a mount or another user claims it (${fault.message})`
  return fault.refined('DM_BUSY', text, { device: path, holders })
}

/**
 * Resolves the external origins of many volumes, each path once. Returns a function that returns the number of a path,
 * or throws the reason why it has none.
 */
export async function externalOriginsOf(
  pool: PoolContext,
  volumes: readonly { readonly externalOrigin?: string | undefined }[],
  signal?: AbortSignal,
): Promise<(path: string) => string> {
  const found = new Map<string, string | DmThinError>()
  for (const path of new Set(volumes.flatMap(({ externalOrigin }) => externalOrigin ?? []))) {
    found.set(path, await externalOriginNumber(pool, path, signal).catch((fault: DmThinError) => fault))
  }
  return path => {
    const number = found.get(path)!
    if (typeof number !== 'string') throw number
    return number
  }
}
