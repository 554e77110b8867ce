// Creation of a volume, and its options.
import { checkName, checkOptions } from '../../base/options.js'
import { createThin } from '../state/commit-point.js'
import type { PoolContext } from '../state/context.js'
import { explained } from '../state/explain-error.js'
import { admitted } from '../state/space-reserve.js'
import { originPath } from './external-origin.js'
import { recordNew } from './recorded.js'
import { ThinVolume } from './thin-volume.js'
import { checkThinId } from '../state/thin-ids.js'
import { checkVolumeSize, type CreateVolumeOptions } from './volume-options.js'

type NewVolume = Pick<CreateVolumeOptions, 'sizeBytes' | 'signal'> &
  Record<'name' | 'externalOrigin', string | undefined> &
  Record<'wanted', number | undefined>

export function checkCreateVolume(options: CreateVolumeOptions): NewVolume {
  checkOptions(options, ['sizeBytes', 'id', 'name', 'externalOrigin', 'signal'], 'createVolume')
  return {
    sizeBytes: checkVolumeSize(options.sizeBytes),
    wanted: options.id === undefined ? undefined : checkThinId(options.id),
    name: options.name === undefined ? undefined : checkName(options.name),
    externalOrigin: originPath(options.externalOrigin),
    ...(options.signal && { signal: options.signal }),
  }
}

export async function createVolume(context: PoolContext, volume: NewVolume): Promise<ThinVolume> {
  const { wanted, name, sizeBytes, externalOrigin, signal } = volume
  const send = (id: number) => createThin(context, { id }, signal)
  const make = async (id: number) => {
    await admitted(context, 0, () => send(id))
    await recordNew(context, [[id, { name: name ?? `${context.name}-${id}`, sizeBytes, externalOrigin }]])
    return new ThinVolume(context, { id, name, sizeBytes, externalOrigin })
  }
  if (wanted === undefined) return explained(context, context.ids.withNew(signal, make))
  const made = await explained(context, make(wanted))
  context.ids.use(wanted)
  return made
}
