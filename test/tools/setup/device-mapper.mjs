// Whether this machine's own kernel can do the work.
import { spawnSync } from 'node:child_process'
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs'

export const inGuest = () => process.env.DM_THIN_GUEST === '1'

/** Why this machine cannot, or undefined if it can. */
export function whyNoDeviceMapper() {
  if (inGuest()) return undefined
  if (process.getuid?.() !== 0) return 'not root'
  if (!registered()) spawnSync('modprobe', ['-q', 'dm-mod'], { stdio: 'ignore' })
  if (!registered()) return 'no device mapper in this kernel'
  try {
    closeSync(openSync('/dev/mapper/control', 'r+'))
  } catch (error) {
    return `/dev/mapper/control cannot be opened here (${error.code})`
  }
  return existsSync('/dev/loop-control') ? undefined : 'no loop devices here'
}

function registered() {
  try {
    return readFileSync('/proc/misc', 'utf8').includes('device-mapper')
  } catch {
    return false
  }
}
