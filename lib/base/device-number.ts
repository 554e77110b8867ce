// The kernel's device numbers: major and minor in one number, and as `7:3`. Pure.

/** The major number of loop devices (Documentation/admin-guide/devices.txt). */
export const LOOP_MAJOR = 7

/** Returns the major, `7` of 7:3, of a device number (include/linux/kdev_t.h new_decode_dev). */
export const deviceMajor = (device: number): number => (device >>> 8) & 0xfff
export const deviceMinor = (device: number): number => (device & 0xff) | ((device >>> 12) & 0xfff00)
/** Returns the device number of major and minor (new_encode_dev), unsigned as in the kernel. */
export const encodeDevice = (major: number, minor: number): number =>
  ((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0
/** Returns the number of `7:3`; undefined if the text is not a device number. */
export function parseDeviceNumber(text: string): number | undefined {
  const parts = /^(\d{1,4}):(\d{1,7})$/.exec(text)
  if (!parts) return undefined
  const [major, minor] = [Number(parts[1]), Number(parts[2])]
  return major > 0xfff || minor > 0xfffff ? undefined : encodeDevice(major, minor)
}
/** Returns `7:3`, as tables name a device. A path would need a node, and udev creates symlinks late or never. */
export const deviceNumber = (device: number): string => `${deviceMajor(device)}:${deviceMinor(device)}`
/** Returns the number of `/dev/loop3`. */
export const loopNumber = (index: number): number => encodeDevice(LOOP_MAJOR, index)
