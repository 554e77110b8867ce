import { nodePath } from '../../../lib/block/node-path'
import {
  deviceMajor,
  deviceMinor,
  deviceNumber,
  encodeDevice,
  parseDeviceNumber,
} from '../../../lib/base/device-number'

// The middle column is what the kernel's new_encode_dev (include/linux/kdev_t.h) makes of them.
test.each([
  ['7:0', 0x700, 7, 0],
  ['253:3', 0xfd03, 253, 3],
  ['7:255', 0x7ff, 7, 255],
  ['7:256', 0x100700, 7, 256],
  ['253:1000', 0x30fde8, 253, 1000],
  ['259:65536', 0x10010300, 259, 65536],
  ['4095:1048575', 0xffffffff, 4095, 1048575],
])('the device number %s is parsed, encoded, printed and split into major and minor', (text, number, major, minor) => {
  expect(parseDeviceNumber(text)).toBe(number)
  expect(deviceNumber(number)).toBe(text)
  expect([deviceMajor(number), deviceMinor(number)]).toEqual([major, minor])
})

test('nodePath returns a path in /dev/block for a device that sysfs does not have', () => {
  expect(nodePath('4095:1048575')).toBe('/dev/block/4095:1048575')
  expect(nodePath(encodeDevice(4095, 1048575))).toBe('/dev/block/4095:1048575')
})
