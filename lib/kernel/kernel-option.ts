// Which kernel a call talks to: the machine's own, or one in memory (dm-thin/testing). Opaque to users; a port inside.
import { invalid, shown } from '../base/options.js'
import type { KernelPort } from './port/kernel-port.js'

/** Where the port is. No entry of the package exports it: nobody else can make a `Kernel`. */
export const PORT = Symbol('port')

/** A kernel to talk to. `memoryKernel()` of `dm-thin/testing` makes one; without, it is the machine's own. */
export interface Kernel {
  /** @hidden Opaque. */
  readonly [PORT]: KernelPort
}

/** Option of the calls that can use another kernel than that of the machine. */
export interface KernelOption {
  /** For tests: another kernel than the machine's, from `dm-thin/testing`. */
  readonly kernel?: Kernel
}

/** @internal The port in what a caller gave as `kernel`. */
export function portInside(kernel: unknown): KernelPort {
  const port = typeof kernel === 'object' && kernel !== null ? (kernel as Partial<Kernel>)[PORT] : undefined
  if (port === undefined) throw invalid(`kernel must be a kernel of dm-thin/testing, but is ${shown(kernel)}`)
  return port
}
