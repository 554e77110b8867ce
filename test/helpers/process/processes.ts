// Several processes on one kernel in memory, and calls of theirs that are held at any of their steps.
import { PORT, type Kernel } from '../../../lib/kernel/kernel-option.js'
import type { KernelPort } from '../../../lib/kernel/port/kernel-port.js'

export interface Process extends Kernel {
  readonly port: KernelPort
  /** Kernel calls that it has begun, by name. */
  readonly calls: string[]
  /** Holds one of the kernel calls from now on before it reaches the kernel: the next for 1, or the next of a name. */
  holdAt(step: number | string): Held
}

export interface Held {
  /** Resolves with the name of the call once the step is reached. */
  readonly reached: Promise<string>
  /** Lets it through; later steps are not held. */
  go(): void
}

/** Calls that are not steps: they answer at once, or wait for what others do. */
const NOT_STEPS = new Set(['release', 'openEvents', 'wallClock', 'alignedBuffer', 'mapperLinks'])

/** Makes another process on `kernel`: its locks within the process are its own, those of the kernel are shared. */
export function processOn(kernel: Kernel): Process {
  const port = kernel[PORT]
  const calls: string[] = []
  let pending: { isStep: (name: string) => boolean; reach: (name: string) => void; gate: Promise<void> } | undefined
  const begin = async (name: string) => {
    calls.push(name)
    if (!pending?.isStep(name)) return
    const { reach, gate } = pending
    pending = undefined
    reach(name)
    await gate
  }
  const held = new Proxy(port, {
    get(target, key) {
      const value = Reflect.get(target, key) as unknown
      if (typeof value !== 'function' || typeof key !== 'string' || NOT_STEPS.has(key)) return value
      return async (...args: unknown[]) => {
        await begin(key)
        return (value as (...args: unknown[]) => unknown)(...args)
      }
    },
  })
  return {
    [PORT]: held,
    port: held,
    calls,
    holdAt(step) {
      let go = () => {}
      let reach = (_: string) => {}
      const reached = new Promise<string>(resolve => (reach = resolve))
      let left = step
      const isStep = (name: string) => (typeof left === 'string' ? name === left : --left === 0)
      pending = { isStep, reach, gate: new Promise(resolve => (go = resolve)) }
      return { reached, go: () => ((pending = undefined), go()) }
    },
  }
}
