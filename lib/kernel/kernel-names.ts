// The names that the kernel accepts, and libdevmapper's mangling of others.
import { checkText, invalid, shown } from '../base/options.js'

/** DM_NAME_LEN and DM_UUID_LEN minus the terminator. The kernel silently truncates a longer name. */
const MAX_NAME_BYTES = 127
const MAX_UUID_BYTES = 128

/**
 * Checks a name of any bytes but `/` (dm-ioctl.c check_name). `control`, `.` and `..` would hide entries of
 * /dev/mapper.
 */
export function checkKernelName(name: unknown, what = 'name'): string {
  const text = checkLength(what, name, MAX_NAME_BYTES)
  if (text.includes('/')) throw invalid(`${what} ${shown(text)} has a "/": a device's name is not a path`)
  if (text === '.' || text === '..' || text === 'control') throw invalid(`${what} ${shown(text)} is reserved`)
  return text
}

export const checkKernelUuid = (uuid: unknown, what = 'uuid'): string => checkLength(what, uuid, MAX_UUID_BYTES)

function checkLength(what: string, value: unknown, most: number): string {
  const text = checkText(what, value)
  const bytes = Buffer.byteLength(text)
  if (bytes >= 1 && bytes <= most) return text
  throw invalid(`${what} must have 1 to ${most} bytes, but has ${bytes}`)
}

/** The characters that udev accepts unchanged in the name of a symlink. */
const PLAIN = /[0-9A-Za-z#+\-.:=@_]/
const ALL_PLAIN = /^[0-9A-Za-z#+\-.:=@_]+$/
const MANGLED = /\\x([0-9a-f]{2})/g

/**
 * Mangles a name as libdevmapper does (its mode `hex`): each byte that udev does not accept becomes `\xNN`, in lower
 * case, the backslash included. `dmsetup` finds such a name under its unmangled spelling.
 */
export function mangleName(name: string): string {
  if (ALL_PLAIN.test(checkText('name', name))) return name
  const bytes = [...Buffer.from(name)]
  const written = bytes.map(byte => {
    const character = String.fromCharCode(byte)
    return PLAIN.test(character) ? character : `\\x${byte.toString(16).padStart(2, '0')}`
  })
  return written.join('')
}

/**
 * Unmangles a name. Throws `DM_INVALID_ARGUMENT` if libdevmapper would not have written it: for a character that should
 * have been mangled, or a mangled backslash that mangles again (`\x5cx20`), which libdevmapper rejects too; and for
 * bytes that no string represents (invalid UTF-8, or a NUL).
 */
export function unmangleName(mangled: string): string {
  const plain = checkText('name', mangled).replace(MANGLED, '')
  const odd = [...plain].find(character => !PLAIN.test(character))
  if (odd !== undefined) throw invalid(`${shown(mangled)} is not mangled: it has ${shown(odd)}`)
  if (mangled.includes('\\x5cx')) throw invalid(`${shown(mangled)} is mangled twice`)
  const bytes: number[] = []
  for (const [part] of mangled.matchAll(/\\x[0-9a-f]{2}|./g)) {
    bytes.push(part.length === 1 ? part.charCodeAt(0) : parseInt(part.slice(2), 16))
  }
  const name = Buffer.from(bytes).toString()
  const isText = Buffer.from(name).equals(Buffer.from(bytes)) && !name.includes('\0')
  if (!isText) throw invalid(`${shown(mangled)} does not decode to valid UTF-8 without NUL characters`)
  return name
}
