// `await using` on everything that closes. Compiled, never run.
import { LoopDevice, ThinPool } from '../../lib/entry/index.js'

export async function scope(): Promise<string> {
  await using pool = await ThinPool.open('demo')
  await using volume = await pool.volume(7)
  await using loop = await LoopDevice.attach({ file: 'data.img' })
  return volume.path + loop.path
}

export async function stack(): Promise<void> {
  await using all = new AsyncDisposableStack()
  const pool = all.use(await ThinPool.open('demo'))
  all.use(await pool.volume(7))
}

export async function synchronously(): Promise<void> {
  // @ts-expect-error closing waits for the calls under way: it cannot be done without `await`
  using pool = await ThinPool.open('demo')
  void pool
}

export const disposables: AsyncDisposable[] = []
export function collect(pool: ThinPool, loop: LoopDevice): void {
  disposables.push(pool, loop)
}
