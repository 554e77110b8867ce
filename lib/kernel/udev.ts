// The udev flags of this library's devices, and the check for a running udev, and the time limit of a wait for it.
import { existsSync, readlinkSync } from 'node:fs'

/** The default time limit of a wait for udev, in milliseconds. */
export const UDEV_WAIT_MS = 30_000

/** Bits of libdevmapper.h, for the upper half of dm_ioctl.event_nr. */
export const UDEV_FLAG = {
  disableDmRules: 0x1,
  disableSubsystemRules: 0x2,
  disableDiskRules: 0x4,
  disableOtherRules: 0x8,
  lowPriority: 0x10,
  disableLibraryFallback: 0x20,
  /** Without it udev considers the event spurious and reuses the flags of an earlier one. */
  primarySource: 0x40,
} as const

/**
 * The flags of a pool's own devices, with an empty cookie. udev creates the `/dev/mapper` link and does not probe the
 * content. A probe would open a new volume without its user's knowledge, the common cause of EBUSY at removal. Without
 * a cookie there is nothing to wait for, so no call hangs if udevd is missing, stopped, or outside a container: use the
 * node `/dev/dm-N`, which the kernel itself creates (devtmpfs).
 */
export const UDEV_NO_PROBING =
  UDEV_FLAG.primarySource | UDEV_FLAG.disableOtherRules | UDEV_FLAG.disableDiskRules | UDEV_FLAG.disableSubsystemRules

const CONTROL = '/run/udev/control'
/** The rule that counts a transaction down, in the folders of the distributions. */
const RULES = ['/usr/lib/udev/rules.d', '/lib/udev/rules.d', '/etc/udev/rules.d', '/run/udev/rules.d'].map(
  folder => `${folder}/95-dm-notify.rules`,
)

/**
 * Returns the reason why a transaction would never be counted down here; undefined if it would be. Checked each time,
 * because udevd may be started later in the life of a service. sysfs, proc and run are in memory, so these reads do not
 * block.
 */
export function whyNoUdev(): string | undefined {
  if (!existsSync(CONTROL)) return 'udevd does not run here'
  if (!RULES.some(rule => existsSync(rule))) return 'udev has no rules for the device mapper (95-dm-notify.rules)'
  const [own, init] = ['self', '1'].map(ipcNamespace)
  if (own !== undefined && init !== undefined && own !== init) return 'udevd is in another IPC namespace'
  return undefined
}

function ipcNamespace(process: string): string | undefined {
  try {
    return readlinkSync(`/proc/${process}/ns/ipc`)
  } catch {
    return undefined
  }
}
