// The devices below a mapped device, down to the disks: as data, and as text.
import { TABLE_FLAG, type ListedDevice, type DevicePort } from '../kernel/port/device-port.js'
import { deviceNumber } from '../base/device-number.js'
import { nodePath } from '../block/node-path.js'

/** A mapped device with the devices that its table uses. */
export interface DeviceTree {
  /** `253:4`, the device number. */
  readonly device: string
  /** The node: `/dev/dm-4`, `/dev/loop3`. */
  readonly path: string
  /** Name of a mapped device; null for any other device, whose lower devices are not listed. */
  readonly name: string | null
  /** The target of each segment of the live table, in order. Empty for others, and for a device without a table. */
  readonly targets: readonly string[]
  /**
   * The devices that its table names (DM_TABLE_DEPS), in the kernel's order. A device with several users is listed
   * below each of them.
   */
  readonly children: readonly DeviceTree[]
}

/**
 * Returns the tree. Reads one device after the other, so it is not a consistent picture if tables are replaced during
 * the call.
 */
export async function deviceTree(port: DevicePort, device: number, signal?: AbortSignal): Promise<DeviceTree> {
  const listed = await port.listDevices({}, signal)
  const mapped = new Map(listed.map(each => [each.device, each]))
  const seen = new Map<number, Promise<DeviceTree>>()
  const nodeOf = (number: number): Promise<DeviceTree> => {
    const known = seen.get(number)
    if (known) return known
    const found = treeNode(port, number, mapped.get(number), nodeOf, signal)
    seen.set(number, found)
    return found
  }
  return nodeOf(device)
}

async function treeNode(
  port: DevicePort,
  number: number,
  mapped: ListedDevice | undefined,
  nodeOf: (number: number) => Promise<DeviceTree>,
  signal?: AbortSignal,
): Promise<DeviceTree> {
  const device = deviceNumber(number)
  const path = nodePath(number)
  if (!mapped) return { device, path, name: null, targets: [], children: [] }
  const lines = await port.tableStatus({ device: number }, TABLE_FLAG.table | TABLE_FLAG.noflush, signal)
  const below = await port.tableDeps({ device: number }, signal)
  // There are no cycles: the kernel rejects a table that contains its own device, or a device above it.
  const children: DeviceTree[] = []
  for (const each of below) children.push(await nodeOf(each))
  return { device, path, name: mapped.name, targets: lines.map(line => line.type), children }
}

/**
 * Formats the tree:
 *
 *     joined 253:2 linear, striped
 *     ├─ /dev/loop0 7:0
 *     └─ base 253:1 linear
 *        └─ /dev/loop1 7:1
 */
export function treeText(tree: DeviceTree): string {
  return [label(tree), ...branches(tree)].join('\n')
}

function branches({ children }: DeviceTree): string[] {
  return children.flatMap((child, at) => {
    const isLast = at === children.length - 1
    const [head, tail] = isLast ? ['└─ ', '   '] : ['├─ ', '│  ']
    return [head + label(child), ...branches(child).map(line => tail + line)]
  })
}

/** Names may contain any byte but a slash: those that would break the layout are escaped. */
function label({ name, path, device, targets }: DeviceTree): string {
  if (name === null) return `${path} ${device}`
  const plain = /^[^\s\p{C}"]+$/u.test(name) ? name : JSON.stringify(name)
  return `${plain} ${device} ${runs(targets)}`
}

/** Formats the targets as `linear ×3, striped`: a table may have thousands of segments. */
function runs(targets: readonly string[]): string {
  if (targets.length === 0) return '(no table)'
  const groups: { type: string; count: number }[] = []
  for (const type of targets) {
    const last = groups.at(-1)
    if (last?.type === type) last.count += 1
    else groups.push({ type, count: 1 })
  }
  return groups.map(({ type, count }) => (count === 1 ? type : `${type} ×${count}`)).join(', ')
}
