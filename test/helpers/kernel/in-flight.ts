// The requests that a block device has taken and not completed.
import { readFileSync, realpathSync } from 'node:fs'
import path from 'node:path'

/** Returns the number of reads and writes, by sysfs. */
export function inFlight(device: string): number {
  const counts = readFileSync(`/sys/block/${path.basename(realpathSync(device))}/inflight`, 'utf8')
  return counts
    .trim()
    .split(/\s+/)
    .map(Number)
    .reduce((sum, each) => sum + each)
}
