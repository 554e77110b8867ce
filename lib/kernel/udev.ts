// What udev is told about our devices, and whether there is a udev that would answer.
import { existsSync, readlinkSync } from 'node:fs'

/** Bits of libdevmapper.h, for the upper half of dm_ioctl.event_nr. */
export const UDEV_FLAG = {
  disableDmRules: 0x1,
  disableSubsystemRules: 0x2,
  disableDiskRules: 0x4,
  disableOtherRules: 0x8,
  lowPriority: 0x10,
  disableLibraryFallback: 0x20,
  /** Without it udev takes the event for a spurious one and reuses the flags of an older. */
  primarySource: 0x40,
} as const

/**
 * The pools' own devices: flags beside an empty cookie. udev makes the `/dev/mapper` link and does not probe the
 * content. Probing opens a new volume behind its user's back, and is the common cause of EBUSY at removal. With no
 * cookie there is nothing to wait for, so nothing hangs where udevd is missing, stopped, or on the other side of a
 * container: the node to use is `/dev/dm-N`, which the kernel itself makes (devtmpfs).
 */
export const UDEV_NO_PROBING =
  UDEV_FLAG.primarySource | UDEV_FLAG.disableOtherRules | UDEV_FLAG.disableDiskRules | UDEV_FLAG.disableSubsystemRules

const CONTROL = '/run/udev/control'
/** The rule that counts a transaction down, wherever a distribution keeps it. */
const RULES = ['/usr/lib/udev/rules.d', '/lib/udev/rules.d', '/etc/udev/rules.d', '/run/udev/rules.d'].map(
  folder => `${folder}/95-dm-notify.rules`,
)

/**
 * Why a transaction would never be counted down here; undefined where it will be. Looked at anew each time: udevd may
 * be started later in the life of a service. sysfs, proc and run are memory, so these reads do not wait.
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
