// Extended headers of a tar (POSIX pax), as bytes: tar-stream takes names and values as text, and a name or an
// attribute need not be any. Pure.

export type PaxRecord = readonly [key: Buffer | string, value: Buffer | string]

const BLOCK = 512
const bytesOf = (part: Buffer | string): Buffer => (typeof part === 'string' ? Buffer.from(part, 'latin1') : part)

/** `30 mtime=1350244992.023960108\n`: the number counts itself. */
function recordBytes([key, value]: PaxRecord): Buffer {
  const rest = Buffer.concat([' ', key, '=', value, '\n'].map(bytesOf))
  let length = rest.length + 1
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length
  return Buffer.concat([Buffer.from(String(length)), rest])
}

const octal = (value: number, digits: number): string => value.toString(8).padStart(digits, '0')

/** The header `x` and its records, in whole blocks: what goes before the header of an entry. */
export function paxBlocks(records: readonly PaxRecord[]): Buffer {
  const body = Buffer.concat(records.map(recordBytes))
  const blocks = Buffer.alloc(BLOCK + Math.ceil(body.length / BLOCK) * BLOCK)
  blocks.write('PaxHeader', 0)
  blocks.write(`${octal(0o644, 7)}\0${octal(0, 7)}\0${octal(0, 7)}\0`, 100, 'latin1')
  blocks.write(`${octal(body.length, 11)}\0${octal(0, 11)}\0`, 124, 'latin1')
  blocks.write('        x', 148, 'latin1')
  blocks.write('ustar\x0000', 257, 'latin1')
  const sum = blocks.subarray(0, BLOCK).reduce((total, byte) => total + byte, 0)
  blocks.write(`${octal(sum, 6)}\0 `, 148, 'latin1')
  body.copy(blocks, BLOCK)
  return blocks
}

/** Seconds since 1970 with a fraction, as pax writes them; nanoseconds count upwards, also before 1970. */
export function paxTime(seconds: number, nanoseconds: number): string {
  const total = BigInt(seconds) * 1_000_000_000n + BigInt(nanoseconds)
  const size = total < 0n ? -total : total
  const fraction = String(size % 1_000_000_000n)
    .padStart(9, '0')
    .replace(/0+$/, '')
  return `${total < 0n ? '-' : ''}${size / 1_000_000_000n}${fraction && `.${fraction}`}`
}
