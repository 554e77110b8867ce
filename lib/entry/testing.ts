/**
 * Contains a kernel in memory, for tests of your own that need no root.
 *
 * @module dm-thin/testing
 */
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
