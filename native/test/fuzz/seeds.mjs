// node native/test/fuzz/seeds.mjs
//
// Writes into corpus/ what the fuzzers begin with: answers as the kernel gives them, and some that it must not give.
// The other files there are what fuzzing has found since (npm run fuzz -- --keep), by the hash of their bytes.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const u32 = (...values) => Buffer.from(new Uint32Array(values).buffer)
const u64 = (...values) => Buffer.from(new BigUint64Array(values.map(BigInt)).buffer)
const text = value => Buffer.from(`${value}\0`)
const field = (value, size) => Buffer.concat([Buffer.from(value)], size)
const aligned = bytes => Buffer.concat([bytes], (bytes.length + 7) & ~7)

const HEADER_BYTES = 312 // struct dm_ioctl
const UUID_FLAG = 1 << 14
const DATA_OUT_FLAG = 1 << 16

function answer(payload, { flags = UUID_FLAG | DATA_OUT_FLAG, targets = 0, start = HEADER_BYTES, more = 0 } = {}) {
  const size = HEADER_BYTES + payload.length + more
  const numbers = u32(4, 48, 0, size, start, targets, 1, flags, 5, 0)
  const names = [field('name', 128), field('DMTHIN-253:0', 129), Buffer.alloc(7)]
  return Buffer.concat([numbers, u64(0xfd00), ...names, payload])
}

/** Each entry says how far the next one is, but for the last. */
function chain(entries, placeOfNext, fromTheFirst = false) {
  let at = 0
  return Buffer.concat(
    entries.map((entry, index) => {
      const bytes = aligned(entry)
      at += bytes.length
      const last = index === entries.length - 1
      bytes.writeUInt32LE(fromTheFirst ? at : last ? 0 : bytes.length, placeOfNext)
      return bytes
    }),
  )
}

const device = (number, name, uuid, eventNumber = 3) => {
  const head = aligned(Buffer.concat([u64(number), u32(0), text(name)]))
  return Buffer.concat([head, u32(eventNumber, uuid === '' ? 2 : 1), uuid === '' ? Buffer.alloc(0) : text(uuid)])
}
const target = (start, type, parameters) => Buffer.concat([u64(start, 8), u32(0, 0), field(type, 16), text(parameters)])
const version = name => Buffer.concat([u32(0, 1, 23, 0), text(name)])

/** As lib/store/tar-read/tree-batch.ts packs them. */
function writeEntry(
  type,
  parent,
  name,
  { link = '', attributes = /** @type {[string, string][]} */ ([]), data = '', flags = 0, mode = 0o644 } = {},
) {
  const packed = Buffer.concat(
    attributes.map(([key, value]) => Buffer.concat([u32(key.length, value.length), text(key), Buffer.from(value)])),
  )
  const lengths = [parent, name, link, packed, data].map(part => part.length)
  const head = [u32(1, type, flags, mode, 0, 0, 1, 3), u64(1600000000, 1600000000), u32(5, 6), u32(...lengths)]
  return Buffer.concat([...head, text(parent), text(name), text(link), packed, Buffer.from(data)])
}
/** A node of block 7; the fuzzer makes its checksum right. */
function node(flags, /** @type {[number, number][]} */ entries, { capacity = 252, valueBytes = 8 } = {}) {
  const keys = Buffer.concat([u64(...entries.map(([key]) => key))], 8 * capacity)
  const head = Buffer.concat([u32(0, flags), u64(7), u32(entries.length, capacity, valueBytes, 0)])
  return Buffer.concat([head, keys, u64(...entries.map(([, value]) => value))])
}
const writes = [
  writeEntry(1, '', ''),
  writeEntry(0, 'usr/bin', 'tool', {
    mode: 0o4755,
    data: 'content',
    attributes: [
      ['user.a', 'b'],
      ['user.e', ''],
    ],
  }),
  writeEntry(0, '', 'large', { flags: 1 }),
  Buffer.concat([u32(2, 4), u64(4096), Buffer.from('data')]),
  Buffer.concat([u32(3, 0), u64(8192)]),
  Buffer.concat([u32(4, 0), u64(1 << 20)]),
  writeEntry(2, 'usr', 'link', { link: '../bin' }),
  writeEntry(3, 'usr', 'hard', { link: 'usr/bin/tool' }),
  writeEntry(4, 'dev', 'null'),
  writeEntry(6, 'run', 'fifo'),
  Buffer.concat([u32(5, 3, 4), text('usr'), text('gone')]),
  Buffer.concat([u32(6, 3), text('usr')]),
]

const devices = chain([device(0xfd00, 'pool', 'DMTHIN-a'), device(0xfd01, 'x y', ''), device(0xfd02, 'c', 'u')], 8)
const table = chain(
  [target(0, 'thin', '253:0 7 7:2'), target(8, 'thin-pool', '0 17/1024 3/64 - rw - -'), target(16, 'zero', '')],
  20,
  true,
)
const versions = chain([version('thin-pool'), version('thin'), version('linear')], 0)
const dependencies = Buffer.concat([u32(3, 0), u64(1792, 1793, 0xfd00)])
const behind = { more: 4096 }

const SEEDS = {
  reply: {
    devices: answer(devices),
    'devices-old': answer(chain([Buffer.concat([u64(7), u32(0), text('old')])], 8), { flags: 0 }),
    'no-devices': answer(Buffer.concat([u64(0), u32(0), text('')])),
    table: answer(table, { targets: 3 }),
    'more-targets-than-there-are': answer(table, { targets: 0xffffffff }),
    versions: answer(versions),
    dependencies: answer(dependencies),
    'more-dependencies-than-there-are': answer(Buffer.concat([u32(0xffffffff, 0), u64(1792)])),
    message: answer(text('1 2 3')),
    unended: answer(Buffer.from('no end')),
    'behind-its-buffer': answer(devices, behind),
    'before-its-buffer': answer(devices, { start: 8 }),
    cut: answer(devices).subarray(0, 100),
    // Each entry begins one byte after the one before, and is told to be a long one: what is read twice grows as the
    // square of the answer.
    'entries-in-each-other': answer(Buffer.concat([Buffer.alloc(400, 1), Buffer.alloc(8)]), { targets: 300 }),
  },
  request: {
    table: Buffer.from('name\nuuid\nlinear 7:0 0\nzero\nthin 253:0 7'),
    long: Buffer.from(`${'n'.repeat(127)}\n${'u'.repeat(128)}\nerror`),
    'too-long': Buffer.from(`${'n'.repeat(128)}\n\nfourteen-bytes!!`),
    nul: Buffer.from('a\0b\nu\0\nthin 7:0\0 7'),
  },
  log_record: {
    refusal: Buffer.from(
      '3,1234,98765,-;device-mapper: table: 253:4: thin-pool: Invalid block size (-EINVAL)\n SUBSYSTEM=block\n DEVICE=b253:4\n',
    ),
    own: Buffer.from('4,7,8,c,caller=T1;device-mapper: thin: 253:4: reached low water mark\n'),
    other: Buffer.from('3,1,2,-;device-mapper: table: 1253:4: no\n'),
    // Its number has more digits than an int has room for.
    'far-beyond-any-level': Buffer.from('99999999999999999999999,1,2,-;device-mapper: table: 253:4: no\n'),
    'comma-behind': Buffer.from(';,device-mapper: table: 253:4: no'),
  },
  mount_info: {
    lines: Buffer.from(
      '24 1 253:3 / /mnt/a\\040b rw,relatime shared:1 - ext4 /dev/mapper/a\\134b rw\n' +
        '25 24 0:40 /sub /mnt/b rw master:1 propagate_from:2 - btrfs /dev/loop3 rw\n',
    ),
    optional: Buffer.from('30 24 7:0 / / ro - squashfs /dev/loop0 ro\n31 30 0:5 / /proc rw - proc proc rw'),
    // Found by reading: what follows a backslash is no octal number, or not there.
    escapes: Buffer.from('1 2 3 / /a\\9zz\\04 rw - x \\ y\n1 2 3 / \\377\\777 - - - -\n'),
  },
  loop_info: {
    plain: Buffer.concat([u64(2049, 77, 0, 0, 4096), u32(7, 0, 0, 5), field('/var/lib/data.img', 64)]),
    full: Buffer.alloc(232, 0x41),
  },
  thin_line: {
    thin: Buffer.from('253:0 7\nDMTHIN-253:0-7'),
    origin: Buffer.from('253:0 16777215 7:2\nDMTHIN-253:0-16777215'),
    failed: Buffer.from('Fail\nDMTHIN-'),
    other: Buffer.from('253:00 4294967296\nLVM-x-7'),
  },
  metadata_node: {
    leaf: node(2, [
      [0, 5 * 2 ** 24],
      [1, 6 * 2 ** 24 + 3],
      [9, 99_999 * 2 ** 24],
    ]),
    internal: node(1, [
      [0, 1],
      [100, 999],
    ]),
    empty: node(2, []),
    'keys-that-do-not-ascend': node(2, [
      [5, 2 ** 24],
      [5, 2 ** 25],
    ]),
    'child-past-the-end': node(1, [[0, 1000]]),
    'no-room': node(2, [], { capacity: 255 }),
    'large-values': node(2, [[0, 0]], { valueBytes: 24 }),
  },
  write_batch: {
    all: Buffer.concat(writes),
    'names-that-there-cannot-be': Buffer.concat([writeEntry(0, 'a/../b', 'x'), writeEntry(0, 'a', '..')]),
    'nul-in-a-name': writeEntry(0, 'a', 'b\0c'),
    cut: Buffer.concat(writes).subarray(0, 150),
    'longer-than-there-is': Buffer.concat([u32(2, 0xffffffff), u64(0), Buffer.from('few')]),
    'beyond-any-file': Buffer.concat([u32(4, 0), Buffer.alloc(8, 0xff)]),
  },
  number: {
    loop: Buffer.from('loop12'),
    large: Buffer.from('18446744073709551615'),
    sign: Buffer.from('-1'),
    key: Buffer.from('0d4d12Ab'),
    zeros: Buffer.from('007'),
  },
}

for (const [name, seeds] of Object.entries(SEEDS)) {
  const folder = join(import.meta.dirname, 'corpus', name)
  mkdirSync(folder, { recursive: true })
  for (const [seed, bytes] of Object.entries(seeds)) writeFileSync(join(folder, seed), bytes)
}
