// The node of a device number, from sysfs: `/dev/loop3` for 7:3. It is read synchronously: sysfs is in memory, and a
// call on libuv's threads would take longer and could queue after a slow disk access.
import { readlinkSync } from 'node:fs'
import path from 'node:path'
import { deviceNumber } from '../base/device-number.js'

export function nodePath(device: number | string): string {
  const number = typeof device === 'string' ? device : deviceNumber(device)
  try {
    // Names with a slash (cciss/c0d0) have an exclamation mark in sysfs.
    return `/dev/${path.basename(readlinkSync(`/sys/dev/block/${number}`)).replaceAll('!', '/')}`
  } catch {
    return `/dev/block/${number}`
  }
}
