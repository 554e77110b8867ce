// The kernel that a call uses: the machine's own, or one in memory (dm-thin/testing). Users see an opaque object, which
// contains a port.
import { invalid, shown } from '../base/options.js'
import type { KernelPort } from './port/kernel-port.js'

/** The key of the port. No entry of the package exports it, so that no one else can make a `Kernel`. */
export const PORT = Symbol('port')

/**
 * A kernel for calls of the library. `memoryKernel()` of `dm-thin/testing` makes one; the default is the machine's own.
 */
export interface Kernel {
  /** @hidden Opaque. */
  readonly [PORT]: KernelPort
}

/** The option of calls that can use another kernel than the machine's. */
export interface KernelOption {
  /** Another kernel than the machine's, from `dm-thin/testing`. Default: the machine's. */
  readonly kernel?: Kernel
}

/** @internal Returns the port in a caller's `kernel`. */
export function portInside(kernel: unknown): KernelPort {
  const port = typeof kernel === 'object' && kernel !== null ? (kernel as Partial<Kernel>)[PORT] : undefined
  if (port === undefined) throw invalid(`kernel must be a kernel of dm-thin/testing, but is ${shown(kernel)}`)
  return port
}
