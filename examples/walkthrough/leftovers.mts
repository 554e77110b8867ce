// Looking whether anything is left, with nothing but /proc, /sys and the library's own list of loop devices.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { LoopDevice, ThinPool, unmount } from 'dm-thin'

/** Mount points below a folder, deepest first. */
export function mountsBelow(folder: string): string[] {
  const lines = readFileSync('/proc/self/mountinfo', 'utf8').trimEnd().split('\n')
  const points = lines.map(line => line.split(' ')[4]!).filter(point => point.startsWith(`${folder}/`))
  return points.reverse()
}

/** Names of mapped devices that begin with `prefix`. */
export function mappedDevices(prefix: string): string[] {
  const names: string[] = []
  for (const entry of readdirSync('/sys/block')) {
    const file = `/sys/block/${entry}/dm/name`
    if (existsSync(file)) names.push(readFileSync(file, 'utf8').trim())
  }
  return names.filter(name => name.startsWith(prefix))
}

export async function loopsOver(files: readonly string[]): Promise<LoopDevice[]> {
  return (await LoopDevice.list()).filter(loop => files.includes(loop.file.replace(/ \(deleted\)$/, '')))
}

export async function findLeftovers(folder: string, poolName: string, files: readonly string[]): Promise<string[]> {
  return [
    ...mountsBelow(folder).map(point => `mount ${point}`),
    ...mappedDevices(poolName).map(name => `mapped device ${name}`),
    ...(await loopsOver(files)).map(loop => `loop device ${loop.path}`),
    ...files.filter(file => existsSync(file)).map(file => `file ${file}`),
  ]
}

/** Takes down whatever of the walkthrough is there, top down: also after a run that was killed, or kept. */
export async function clean(folder: string, poolName: string, files: readonly string[]): Promise<void> {
  for (const point of mountsBelow(folder)) await unmount(point)
  for (const name of [`${poolName}-store`, poolName]) {
    if (!mappedDevices(name).includes(name)) continue
    const pool = await ThinPool.open(name)
    await pool.remove({ deactivate: true })
  }
  for (const loop of await loopsOver(files)) await loop.detach()
}
