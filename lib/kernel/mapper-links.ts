// Links in /dev/mapper where no udev makes them: `/dev/mapper/NAME` leads to `../dm-N`, as udev's own do.
import { lstatSync, readdirSync, readFileSync, readlinkSync, symlinkSync, unlinkSync } from 'node:fs'
import { DmThinError } from '../base/errors.js'
import { mangleName, unmangleName } from './kernel-names.js'
import { deviceMinor } from '../base/device-number.js'
import type { MapperLinks } from './port/device-port.js'
import { whyNoUdev } from './udev.js'

/**
 * Returns the names of links that point to a removed or replaced device. Empty if udev runs, which maintains its own
 * links.
 */
export function danglingLinks(): string[] {
  if (udevMakesLinks()) return []
  return readdirSync(FOLDER, { withFileTypes: true })
    .filter(entry => entry.isSymbolicLink())
    .flatMap(entry => plainName(entry.name))
    .filter(name => {
      const minor = minorOf(name)
      return minor !== undefined && nameOf(minor) !== name
    })
}

const FOLDER = '/dev/mapper'

export const mapperLinks: MapperLinks = {
  make(name, device) {
    if (udevMakesLinks()) return
    const minor = deviceMinor(device)
    if (minorOf(name) === minor) return
    unlinkStale(name) // left by a killed process
    try {
      symlinkSync(`../dm-${minor}`, linkPath(name))
    } catch (fault) {
      throw refusal('symlink', name, fault as NodeJS.ErrnoException)
    }
  },
  drop(name) {
    // Mostly there is none: then one system call says so.
    if (minorOf(name) !== undefined && !udevMakesLinks()) unlinkStale(name)
  },
  leads: (name, device) => minorOf(name) === deviceMinor(device) && !udevMakesLinks(),
}

/** Deletes a link of this kind that does not point to a device of its name. */
function unlinkStale(name: string): void {
  const minor = minorOf(name)
  if (minor === undefined || nameOf(minor) === name) return
  try {
    unlinkSync(linkPath(name))
  } catch (fault) {
    if ((fault as NodeJS.ErrnoException).code === 'ENOENT') return // deleted concurrently
    throw refusal('unlink', name, fault as NodeJS.ErrnoException)
  }
}

/** Returns the device name of an entry, or an empty list if it is not one. */
function plainName(entry: string): string[] {
  try {
    return [unmangleName(entry)]
  } catch {
    return []
  }
}

const udevMakesLinks = (): boolean => whyNoUdev() === undefined

const linkPath = (name: string): string => `${FOLDER}/${mangleName(name)}`

/** Returns the minor number of a link of this kind; undefined if there is no such link. */
function minorOf(name: string): number | undefined {
  const path = linkPath(name)
  try {
    // Every removal checks this, and usually there is no link: an exception each time would cost more than everything
    // else.
    if (!lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink()) return undefined
    const minor = /^\.\.\/dm-(\d+)$/.exec(readlinkSync(path))?.[1]
    return minor === undefined ? undefined : Number(minor)
  } catch {
    return undefined
  }
}

/** What the kernel calls the device now; undefined where it is gone. */
function nameOf(minor: number): string | undefined {
  try {
    return readFileSync(`/sys/block/dm-${minor}/dm/name`, 'utf8').slice(0, -1)
  } catch {
    return undefined
  }
}

function refusal(operation: string, name: string, fault: NodeJS.ErrnoException): DmThinError {
  const path = linkPath(name)
  const errno = fault.errno === undefined ? undefined : Math.abs(fault.errno)
  const facts = { errno, operation, device: path, cause: fault }
  if (fault.code === 'EEXIST') {
    return new DmThinError('DM_NAME_TAKEN', `${path} exists and is not a link that may be replaced`, facts)
  }
  return new DmThinError('DM_KERNEL', `${operation} ${JSON.stringify(path)}: ${fault.message}`, facts)
}
