// The tree of a device from a kernel that answers from a table, and its picture.
import { deviceTree, treeText, type DeviceTree } from '../../../lib/mapper/device-tree'
import type { DeviceAddress } from '../../../lib/kernel/port/device-port'
import type { KernelPort } from '../../../lib/kernel/port/kernel-port'
import { encodeDevice } from '../../../lib/base/device-number'

const leaf = (device: string): DeviceTree => ({
  device,
  path: `/dev/x${device}`,
  name: null,
  targets: [],
  children: [],
})

/** Mapped devices by minor: their targets, and the devices below them. */
function portWith(devices: Record<number, { targets: string[]; deps: number[] }>): {
  port: KernelPort
  asked: number[]
} {
  const asked: number[] = []
  const of = (address: DeviceAddress) => {
    const minor = 'device' in address ? address.device & 0xff : -1
    return devices[minor]!
  }
  const port = {
    listDevices: () =>
      Promise.resolve(
        Object.keys(devices).map(minor => ({ name: `d${minor}`, uuid: '', device: encodeDevice(253, Number(minor)) })),
      ),
    tableStatus: (address: DeviceAddress) => {
      asked.push('device' in address ? address.device & 0xff : -1)
      return Promise.resolve(of(address).targets.map(type => ({ type })))
    },
    tableDeps: (address: DeviceAddress) => Promise.resolve(of(address).deps),
  }
  return { port: port as unknown as KernelPort, asked }
}

test('a device with several users is read once, and appears below each of them', async () => {
  const mapped = (minor: number) => encodeDevice(253, minor)
  const { port, asked } = portWith({
    0: { targets: ['striped'], deps: [mapped(1), mapped(2)] },
    1: { targets: ['linear'], deps: [mapped(3)] },
    2: { targets: ['linear', 'linear'], deps: [mapped(3)] },
    3: { targets: ['linear'], deps: [encodeDevice(4095, 7)] },
  })
  const tree = await deviceTree(port, mapped(0))
  expect(asked.sort()).toEqual([0, 1, 2, 3])
  expect(treeText(tree)).toBe(
    [
      'd0 253:0 striped',
      '├─ d1 253:1 linear',
      '│  └─ d3 253:3 linear',
      '│     └─ /dev/block/4095:7 4095:7',
      '└─ d2 253:2 linear ×2',
      '   └─ d3 253:3 linear',
      '      └─ /dev/block/4095:7 4095:7',
    ].join('\n'),
  )
})

test('treeText quotes names with line breaks, and marks a device without a table', () => {
  const name = 'two\nlines'
  expect(treeText({ ...leaf('253:0'), name, children: [leaf('7:0')] })).toBe(
    '"two\\nlines" 253:0 (no table)\n└─ /dev/x7:0 7:0',
  )
  expect(treeText({ ...leaf('253:0'), name: 'blank in it', targets: ['zero', 'error', 'zero'] })).toBe(
    '"blank in it" 253:0 zero, error, zero',
  )
})
