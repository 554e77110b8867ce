// What `dm-thin/testing` exports: a kernel in memory for tests of one's own. testing.mts names the same for ESM.
export {
  memoryKernel,
  type Leftovers,
  type MemoryKernel,
  type MemoryKernelOptions,
  type PoolRef,
  type SettableMode,
} from '../testing/memory-kernel.js'
export type { ErrnoName, FaultOptions, Operation } from '../testing/faults.js'
export type { Kernel, KernelOption } from '../kernel/kernel-option.js'
