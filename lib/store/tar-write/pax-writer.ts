// The writer of extended headers (POSIX pax), as bytes: tar-stream accepts only text, but names and attributes can be any
// bytes. Pure.

/** A record. Both strings have one character for each byte. */
export type PaxRecord = readonly [key: string, value: string]

const BLOCK = 512

/** Formats a record, such as `30 mtime=1350244992.023960108\n`. The length includes its own digits. */
function recordText([key, value]: PaxRecord): string {
  const rest = ` ${key}=${value}\n`
  let length = rest.length + 1
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length
  return length + rest
}

const octal = (value: number, digits: number): string => value.toString(8).padStart(digits, '0')

/** The constant parts of each header `x`: name, mode, owner; after the size a time; type and magic. */
const BEFORE_SIZE = `PaxHeader${'\0'.repeat(91)}${octal(0o644, 7)}\0${octal(0, 7)}\0${octal(0, 7)}\0`
const BEFORE_SUM = `\0${octal(0, 11)}\0`
const BEHIND_SUM = `x${'\0'.repeat(100)}ustar\x0000`

const sumOf = (text: string): number => {
  let sum = 0
  for (let at = 0; at < text.length; at++) sum += text.charCodeAt(at)
  return sum
}
// The field of the sum counts as eight blanks.
const FIXED_SUM = sumOf(BEFORE_SIZE) + sumOf(BEFORE_SUM) + sumOf(BEHIND_SUM) + 8 * 0x20

const padded = (text: string): string => text.padEnd(Math.ceil(text.length / BLOCK) * BLOCK, '\0')

/** Returns the header `x` and its records, in whole blocks, which precede the header of an entry. */
export function paxBlocks(records: readonly PaxRecord[]): Buffer {
  const body = records.map(recordText).join('')
  const size = octal(body.length, 11)
  const sum = octal(FIXED_SUM + sumOf(size), 6)
  return Buffer.from(padded(`${BEFORE_SIZE}${size}${BEFORE_SUM}${sum}\0 ${BEHIND_SUM}`) + padded(body), 'latin1')
}

/** Formats a time in seconds since 1970, with a fraction. The nanoseconds are added, also before 1970. */
export function paxTime(seconds: number, nanoseconds: number): string {
  const total = BigInt(seconds) * 1_000_000_000n + BigInt(nanoseconds)
  const size = total < 0n ? -total : total
  const fraction = String(size % 1_000_000_000n)
    .padStart(9, '0')
    .replace(/0+$/, '')
  return `${total < 0n ? '-' : ''}${size / 1_000_000_000n}${fraction && `.${fraction}`}`
}
