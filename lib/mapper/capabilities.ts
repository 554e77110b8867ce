// Capabilities of a kernel, from the versions that it reports and one table. docs/kernel-versions.md lists all known
// differences between kernels.
import type { TargetVersion } from '../kernel/port/device-port.js'

/** The lowest interface version (DM_VERSION) of each feature, from the kernel's history of dm-ioctl.h. */
const INTERFACE_FEATURES = {
  /** DM_LIST_VERSIONS */
  listVersions: [4, 1],
  /** DM_TARGET_MSG */
  messages: [4, 2],
  /** DM_DEV_SET_GEOMETRY */
  geometry: [4, 6],
  /** cookies for udev in uevents */
  udevCookies: [4, 15],
  /** DM_QUERY_INACTIVE_TABLE_FLAG */
  inactiveTables: [4, 16],
  /** setting a uuid after creation, by DM_DEV_RENAME */
  setUuid: [4, 19],
  /** DM_SECURE_DATA_FLAG */
  secureData: [4, 20],
  /** DM_DEFERRED_REMOVE */
  deferredRemove: [4, 27],
  /** DM_DEV_ARM_POLL, and event numbers in the list */
  eventPoll: [4, 37],
  /** DM_GET_TARGET_VERSION */
  targetVersion: [4, 41],
  /** uuids in the list, and prefixes that filter it */
  filteredList: [4, 45],
} as const satisfies Record<string, readonly [number, number]>

/**
 * A feature of the interface of the device mapper.
 *
 * @useDeclaredType
 */
export type InterfaceFeature = keyof typeof INTERFACE_FEATURES

/** The features and targets that the running kernel has. */
export interface Capabilities {
  /** The version of the kernel's interface (DM_VERSION): major, minor and patch level, such as `[4, 48, 0]`. */
  readonly interfaceVersion: readonly number[]
  /** True for each feature that the interface has, according to its version. */
  readonly features: Readonly<Record<InterfaceFeature, boolean>>
  /** The version of each loaded target. Other targets may be loaded when a table names them. */
  readonly targets: ReadonlyMap<string, readonly number[]>
}

export function capabilitiesOf(version: readonly number[], targets: readonly TargetVersion[]): Capabilities {
  const [major = 0, minor = 0] = version
  const has = ([least, leastMinor]: readonly [number, number]) =>
    major > least || (major === least && minor >= leastMinor)
  const features = Object.entries(INTERFACE_FEATURES).map(([name, least]) => [name, has(least)])
  return {
    interfaceVersion: version,
    features: Object.fromEntries(features) as Record<InterfaceFeature, boolean>,
    targets: new Map(targets.map(({ name, version }) => [name, version])),
  }
}
