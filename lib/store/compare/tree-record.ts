// The decoder of changes between two trees, which the native side packs (native/tree/tree_record.h). Pure.
import { DmThinError } from '../../base/errors.js'

/** The kind of a record. A, C, D: as in `Change`. U: an unchanged regular file with several names, only with `detail`. */
type TreeKind = 'A' | 'C' | 'D' | 'U'

export interface TreeRecord {
  readonly kind: TreeKind
  /** The path from the root, with one character for each byte, so that comparing two keys compares their bytes. */
  readonly key: string
  readonly batch: Buffer
  readonly at: number
}

export interface TreeBatch {
  readonly records: readonly TreeRecord[]
  readonly last: boolean
  /** The number of entries that have been compared since the start. */
  readonly seen: number
}

export interface TreeDetails {
  /** The mode, with the bits of the type (S_IFMT). */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  /** The number of hard links of the file. */
  readonly links: number
  readonly deviceMajor: number
  readonly deviceMinor: number
  readonly inode: bigint
  readonly sizeBytes: number
  readonly modifiedSeconds: number
  readonly modifiedNanoseconds: number
  /** The target of a symbolic link; empty for other files. */
  readonly target: Buffer
  /** The extended attributes, in the order of the bytes of their names. */
  readonly xattrs: readonly (readonly [name: Buffer, value: Buffer])[]
  /** The bytes by which the native side checks that a file has not changed since the comparison. */
  readonly identity: Buffer
}

/** A part of a file to read. */
export interface FilePart {
  readonly key: string
  readonly identity: Buffer
  readonly offsetBytes: number
  readonly lengthBytes: number
}

const BATCH_HEAD = 16
const RECORD_HEAD = 88
const IDENTITY_AT = 48
const IDENTITY_BYTES = 40
const PART_HEAD = IDENTITY_BYTES + 16
const XATTR_HEAD = 8
const KINDS: Readonly<Record<number, TreeKind>> = { 0x41: 'A', 0x43: 'C', 0x44: 'D', 0x55: 'U' }

const wrong = (what: string): DmThinError =>
  new DmThinError('DM_KERNEL', `the comparison of two trees returned an invalid list of changes: ${what}`)

const u32 = (bytes: Buffer, at: number): number => bytes.readUInt32LE(at)

/** Returns the offsets of the parts of a record. Throws if a part exceeds the record. */
function lengthsOf(batch: Buffer, at: number) {
  const end = at + u32(batch, at)
  const pathBytes = u32(batch, at + 8)
  const targetBytes = u32(batch, at + 12)
  const path = at + RECORD_HEAD
  const target = path + pathBytes
  const xattrs = target + targetBytes
  if (xattrs > end) throw wrong('a path exceeds its record')
  return { path, target, xattrs, end }
}

function checkXattrs(batch: Buffer, record: number): void {
  const { xattrs, end } = lengthsOf(batch, record)
  let at = xattrs
  for (let left = u32(batch, record + 16); left > 0; left--) {
    if (end - at < XATTR_HEAD) throw wrong('an attribute exceeds its record')
    at += XATTR_HEAD + u32(batch, at) + u32(batch, at + 4)
    if (at > end) throw wrong('an attribute exceeds its record')
  }
  if (at !== end) throw wrong('a record is longer than its content')
}

export function readBatch(bytes: Uint8Array): TreeBatch {
  const batch = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (batch.length < BATCH_HEAD) throw wrong('it has no header')
  const count = u32(batch, 0)
  const last = u32(batch, 4)
  const seen = Number(batch.readBigUInt64LE(8))
  if (last > 1 || !Number.isSafeInteger(seen)) throw wrong('its header is invalid')
  const records: TreeRecord[] = []
  let at = BATCH_HEAD
  while (at < batch.length) {
    if (batch.length - at < RECORD_HEAD) throw wrong('a record has no header')
    const length = u32(batch, at)
    if (length < RECORD_HEAD || length > batch.length - at) throw wrong('a record exceeds the list')
    const { path, target } = lengthsOf(batch, at)
    const kind = KINDS[u32(batch, at + 4)]
    if (kind === undefined) throw wrong('an unknown kind')
    const key = batch.toString('latin1', path, target)
    if (!key.startsWith('/') || key.includes('\0')) throw wrong('an invalid path')
    checkXattrs(batch, at)
    records.push({ kind, key, batch, at })
    at += length
  }
  if (records.length !== count) throw wrong('its header has another count')
  return { records, last: last === 1, seen }
}

/** Decodes the details of a record of a valid batch. */
export function detailsOf({ batch, at }: TreeRecord): TreeDetails {
  const { target, xattrs } = lengthsOf(batch, at)
  const sizeBytes = Number(batch.readBigUInt64LE(at + IDENTITY_AT + 8))
  const modifiedSeconds = Number(batch.readBigInt64LE(at + IDENTITY_AT + 16))
  const modifiedNanoseconds = u32(batch, at + IDENTITY_AT + 32)
  if (!Number.isSafeInteger(sizeBytes) || !Number.isSafeInteger(modifiedSeconds) || modifiedNanoseconds >= 1e9) {
    throw wrong('a size or a time is out of range')
  }
  const list: [Buffer, Buffer][] = []
  let next = xattrs
  for (let left = u32(batch, at + 16); left > 0; left--) {
    const name = next + XATTR_HEAD
    const value = name + u32(batch, next)
    const end = value + u32(batch, next + 4)
    list.push([batch.subarray(name, value), batch.subarray(value, end)])
    next = end
  }
  return {
    mode: u32(batch, at + 20),
    uid: u32(batch, at + 24),
    gid: u32(batch, at + 28),
    links: u32(batch, at + 32),
    deviceMajor: u32(batch, at + 36),
    deviceMinor: u32(batch, at + 40),
    inode: batch.readBigUInt64LE(at + IDENTITY_AT),
    sizeBytes,
    modifiedSeconds,
    modifiedNanoseconds,
    target: batch.subarray(target, xattrs),
    xattrs: list,
    identity: batch.subarray(at + IDENTITY_AT, at + IDENTITY_AT + IDENTITY_BYTES),
  }
}

/** Packs a request to read, in the format of native/tree/tree_read.h. */
export function packParts(parts: readonly FilePart[]): Buffer {
  const packed = Buffer.alloc(parts.reduce((sum, { key }) => sum + PART_HEAD + key.length, 0))
  let at = 0
  for (const { key, identity, offsetBytes, lengthBytes } of parts) {
    identity.copy(packed, at, 0, IDENTITY_BYTES)
    packed.writeBigUInt64LE(BigInt(offsetBytes), at + IDENTITY_BYTES)
    packed.writeUInt32LE(lengthBytes, at + IDENTITY_BYTES + 8)
    packed.writeUInt32LE(key.length, at + IDENTITY_BYTES + 12)
    packed.write(key, at + PART_HEAD, 'latin1')
    at += PART_HEAD + key.length
  }
  return packed
}
