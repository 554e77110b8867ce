// The output of volumes: of a call for one volume, or of a call for many with a progress bar and a result for each.
import type { ThinVolume, VolumeResult } from '../entry/index.js'
import type { Call } from './common/call.js'
import { EXIT, exitCodeOf } from './common/exit-codes.js'
import { errorText, nameText, sizeText, table } from './common/output.js'

export const factsOf = (volume: ThinVolume) => ({
  id: volume.id,
  name: volume.name,
  active: volume.active,
  path: volume.active ? volume.path : null,
  sizeBytes: volume.sizeBytes ?? null,
  origin: volume.origin ?? null,
  externalOrigin: volume.externalOrigin ?? null,
})

type Facts = ReturnType<typeof factsOf>

export const TITLES = ['ID', 'NAME', 'DEVICE', 'SIZE', 'ORIGIN']
export const cells = ({ id, name, path, sizeBytes, origin }: Facts): string[] => [
  String(id),
  nameText(name),
  path ?? '-',
  sizeBytes === null ? '-' : sizeText(sizeBytes),
  origin === null ? '-' : String(origin),
]

export function printVolumes(call: Call, volumes: readonly ThinVolume[]): void {
  const facts = volumes.map(factsOf)
  call.print(facts, () => table(TITLES, facts.map(cells)))
}

type OnProgress = (progress: { done: number; total: number }) => void

/** Runs a call for many volumes with a progress bar, and prints a line for each. Returns the exit code of the first error. */
export async function forMany(
  call: Call,
  title: string,
  run: (onProgress: OnProgress) => Promise<VolumeResult[]>,
): Promise<number> {
  const progress = call.progress(title)
  try {
    const results = await run(({ done, total }) => progress.update(done, total))
    progress.end()
    return printResults(call, results)
  } finally {
    progress.end()
  }
}

function printResults(call: Call, results: readonly VolumeResult[]): number {
  const facts = results.map(result => ({
    ...factsOf(result.volume),
    ...(result.status === 'rejected' && { error: result.reason }),
  }))
  call.print(facts, () => table(TITLES, facts.map(cells)))
  const failed = results.filter(result => result.status === 'rejected')
  for (const { volume, reason } of failed) call.note(`volume ${volume.id}: ${errorText(reason)}`)
  return failed.length === 0 ? EXIT.ok : exitCodeOf(failed[0]!.reason)
}
