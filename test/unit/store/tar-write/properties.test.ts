// Lists of changes from the native side, and extended headers of tars: any bytes are a value or an error.
import fc from 'fast-check'
import { paxBlocks, paxTime } from '../../../../lib/store/tar-write/pax-writer'
import { detailsOf, packParts, readBatch } from '../../../../lib/store/compare/tree-record'
import { checkPlain, everywhere, holds, outcome, same } from '../../../helpers/random/properties'
import { readTar } from '../../../helpers/tree/tar'

interface Made {
  readonly kind: 'A' | 'C' | 'D' | 'U'
  readonly key: string
  readonly target: Buffer
  readonly numbers: readonly number[]
  readonly identity: readonly bigint[]
  readonly nanoseconds: number
  readonly xattrs: readonly (readonly [Buffer, Buffer])[]
}

const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}
const u64 = (value: bigint): Buffer => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigInt64LE(value)
  return bytes
}

function record({ kind, key, target, numbers, identity, nanoseconds, xattrs }: Made): Buffer {
  const path = Buffer.from(key, 'latin1')
  const body = Buffer.concat([
    u32(kind.charCodeAt(0)),
    ...[path.length, target.length, xattrs.length, ...numbers, 0].map(u32),
    ...identity.map(u64),
    u32(nanoseconds),
    u32(7),
    path,
    target,
    ...xattrs.flatMap(([name, value]) => [u32(name.length), u32(value.length), name, value]),
  ])
  return Buffer.concat([u32(body.length + 4), body])
}

const batch = (list: readonly Made[], last: boolean, seen: number): Buffer =>
  Buffer.concat([u32(list.length), u32(last ? 1 : 0), u64(BigInt(seen)), ...list.map(record)])

const bytes = (maxLength: number) => fc.uint8Array({ maxLength }).map(array => Buffer.from(array))
const number = fc.nat(0xffffffff)
const made: fc.Arbitrary<Made> = fc.record({
  kind: fc.constantFrom('A' as const, 'C' as const, 'D' as const, 'U' as const),
  key: bytes(20).map(name => `/${name.toString('latin1').replaceAll('\0', '.')}`),
  target: bytes(20),
  numbers: fc.tuple(number, number, number, number, number, number),
  identity: fc.tuple(
    fc.bigInt(0n, 2n ** 62n),
    fc.maxSafeNat().map(BigInt),
    fc.integer().map(BigInt),
    fc.bigInt(0n, 9n),
  ),
  nanoseconds: fc.nat(999_999_999),
  xattrs: fc.array(fc.tuple(bytes(9), bytes(30)), { maxLength: 3 }),
})
const batches = fc.tuple(fc.array(made, { maxLength: 5 }), fc.boolean(), fc.maxSafeNat())

/** All that there is to read in a batch, as plain values. */
const everything = (packed: Buffer) => {
  const { records, last, seen } = readBatch(packed)
  return {
    last,
    seen,
    records: records.map(each => {
      const { inode, target, xattrs, identity, ...details } = detailsOf(each)
      const text = (part: Buffer) => part.toString('latin1')
      return {
        kind: each.kind,
        key: each.key,
        ...details,
        inode: String(inode),
        target: text(target),
        xattrs: xattrs.map(pair => pair.map(text)),
        identity: text(identity),
      }
    }),
  }
}

test('a batch of changes is unpacked as it was packed', () => {
  everywhere(500, batches, ([list, last, seen]) => {
    const found = everything(batch(list, last, seen))
    same([found.last, found.seen], [last, seen])
    found.records.forEach((each, index) => {
      const wanted = list[index]!
      same([each.kind, each.key, each.target], [wanted.kind, wanted.key, wanted.target.toString('latin1')])
      same([each.mode, each.uid, each.gid, each.links, each.deviceMajor, each.deviceMinor], wanted.numbers)
      same([BigInt(each.inode), BigInt(each.sizeBytes), BigInt(each.modifiedSeconds)], wanted.identity.slice(0, 3))
      same(each.modifiedNanoseconds, wanted.nanoseconds)
      same(
        each.xattrs,
        wanted.xattrs.map(pair => pair.map(part => part.toString('latin1'))),
      )
    })
    same(found.records.length, list.length)
  })
})

test('a changed or truncated batch of changes is unpacked as values or rejected with an error', () => {
  const change = fc.tuple(fc.nat(500), fc.constantFrom(0, 1, 0x41, 0x7f, 0xff), fc.option(fc.nat(500)))
  everywhere(2000, fc.tuple(batches, fc.array(change, { maxLength: 3 })), ([[list, last, seen], changes]) => {
    let packed = batch(list, last, seen)
    for (const [at, byte, end] of changes) {
      if (packed.length > 0) packed[at % packed.length] = byte
      if (end !== null) packed = packed.subarray(0, end)
    }
    outcome(() => everything(packed))
  })
})

test('any bytes are unpacked as values or rejected with an error', () => {
  everywhere(2000, bytes(300), packed => void outcome(() => everything(packed)))
})

test('packParts encodes every part of a read request', () => {
  const part = fc.record({
    key: bytes(20).map(name => `/${name.toString('latin1')}`),
    identity: fc.uint8Array({ minLength: 40, maxLength: 40 }).map(array => Buffer.from(array)),
    offsetBytes: fc.maxSafeNat(),
    lengthBytes: number,
  })
  everywhere(300, fc.array(part, { maxLength: 5 }), parts => {
    const packed = packParts(parts)
    let at = 0
    for (const { key, identity, offsetBytes, lengthBytes } of parts) {
      same(packed.subarray(at, at + 40), identity)
      same([Number(packed.readBigUInt64LE(at + 40)), packed.readUInt32LE(at + 48)], [offsetBytes, lengthBytes])
      const end = at + 56 + packed.readUInt32LE(at + 52)
      same(packed.toString('latin1', at + 56, end), key)
      at = end
    }
    same(at, packed.length)
  })
})

test('extended headers of any bytes are read back as written, and fill whole blocks', () => {
  const key = bytes(200).map(name => `k${name.toString('latin1').replaceAll(/[=\0]/g, '.')}`)
  const records = fc.uniqueArray(
    fc.tuple(
      key,
      bytes(1200).map(value => value.toString('latin1')),
    ),
    { selector: ([name]) => name, minLength: 1, maxLength: 4 },
  )
  everywhere(500, records, list => {
    const blocks = paxBlocks(list)
    holds(blocks.length % 512 === 0, blocks.length)
    // The entry that it belongs to: an empty file.
    const file = Buffer.alloc(512)
    file.write('name')
    file.write('0', 156)
    file.write(`00${(8 * 32 + file.reduce((sum, byte) => sum + byte, 0)).toString(8)}\0 `, 148)
    const [entry] = readTar(Buffer.concat([blocks, file, Buffer.alloc(1024)]))
    const read = Object.fromEntries(list)
    same({ ...entry!.pax }, read)
  })
})

test('paxTime writes a time as the exact decimal number', () => {
  everywhere(1000, fc.tuple(fc.integer(), fc.nat(999_999_999)), ([seconds, nanoseconds]) => {
    const text = paxTime(seconds, nanoseconds)
    holds(/^-?\d+(\.\d*[1-9])?$/.test(text), text)
    const [whole, fraction = ''] = text.replace('-', '').split('.')
    const total = BigInt(whole! + fraction.padEnd(9, '0')) * (text.startsWith('-') ? -1n : 1n)
    same(total, BigInt(seconds) * 1_000_000_000n + BigInt(nanoseconds))
  })
})

test('the values of a batch are plain', () => {
  everywhere(100, batches, ([list, last, seen]) => checkPlain(everything(batch(list, last, seen))))
})
