// A kernel in memory goes wherever a kernel goes, and nothing else does. Compiled, never run.
import { LoopDevice, mount, ThinPool, unmount, type Kernel } from '../../lib/entry/index.js'
import { DeviceMapper } from '../../lib/entry/kernel.js'
import { memoryKernel, type MemoryKernel } from '../../lib/entry/testing.js'

export async function kernels(): Promise<void> {
  const kernel: MemoryKernel = memoryKernel({ dataBlocks: 100 })
  const any: Kernel = kernel
  const pool = await ThinPool.create(kernel.poolOptions('x'))
  await ThinPool.open({ name: 'x', kernel: any })
  await LoopDevice.attach({ file: 'x', kernel })
  await LoopDevice.list({ kernel })
  await mount({ source: 'x', target: 'y', type: 'ext4', kernel })
  await unmount('y', { kernel })
  await DeviceMapper.open({ kernel })
  kernel.setMode(pool, 'ro')
  kernel.fail('TARGET_MSG', 'ENOSPC', { after: 1, times: Infinity })
  // @ts-expect-error a pool is no kernel
  await ThinPool.open({ name: 'x', kernel: pool })
  // @ts-expect-error no operation of the kernel
  kernel.fail('TARGET_MESSAGE', 'ENOSPC')
  // @ts-expect-error no error of the kernel
  kernel.fail('TARGET_MSG', 'DM_POOL_FULL')
}
