// The threads of this process that wait in the kernel.
import { readdirSync, readFileSync } from 'node:fs'

function isInKernel(task: string): boolean {
  try {
    const stat = readFileSync(`/proc/self/task/${task}/stat`, 'utf8')
    return stat.slice(stat.lastIndexOf(')')).startsWith(') D')
  } catch {
    return false // the thread has ended
  }
}

/** Returns the number of threads that wait, uninterruptibly, for what they have submitted. */
export const inKernel = (): number => readdirSync('/proc/self/task').filter(isInKernel).length
