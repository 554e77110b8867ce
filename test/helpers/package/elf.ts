// Reads what a shared object asks of the system: libraries, and symbols with their versions. 64 bits, little endian,
// any machine; from the dynamic segment, as the loader does. Format: elf(5) and the LSB's chapter on symbol versions.

export interface Import {
  readonly symbol: string
  /** `GLIBC_2.28`; undefined for a symbol that may come from anywhere. */
  readonly version: string | undefined
}

export interface SharedObject {
  /** `x64`, `arm64`, or the number that elf.h has for another machine. */
  readonly machine: string
  /** NEEDED, in order. */
  readonly libraries: readonly string[]
  readonly imports: readonly Import[]
  readonly exports: readonly string[]
  /** Every version that it wants of a library, also those that no symbol names. */
  readonly versions: readonly string[]
  readonly stripped: boolean
  /** All symbols are bound when it is loaded. */
  readonly bindNow: boolean
  /** What is bound then becomes read-only. */
  readonly relro: boolean
}

const MACHINES: Record<number, string> = { 62: 'x64', 183: 'arm64' }
const PT_LOAD = 1
const PT_DYNAMIC = 2
const PT_GNU_RELRO = 0x6474e552
const DF_BIND_NOW = 8
const SHT_SYMTAB = 2
const SHT_DYNSYM = 11
const DT = {
  needed: 1,
  strtab: 5,
  symtab: 6,
  flags: 30,
  versym: 0x6ffffff0,
  verneed: 0x6ffffffe,
  verneednum: 0x6fffffff,
}
const SYMBOL_BYTES = 24
/** The top bit of a version index says that the version is not the default one. */
const VERSION_INDEX = 0x7fff

export function readSharedObject(file: Buffer): SharedObject {
  if (file.toString('latin1', 0, 4) !== '\x7fELF' || file[4] !== 2 || file[5] !== 1) {
    throw new Error('not an ELF file of 64 bits, little endian')
  }
  const word = (at: number) => Number(file.readBigUInt64LE(at))
  const table = (at: number, entryBytes: number, count: number) =>
    Array.from({ length: count }, (_, index) => at + index * entryBytes)
  const segments = table(word(32), file.readUInt16LE(54), file.readUInt16LE(56)).map(at => ({
    type: file.readUInt32LE(at),
    offset: word(at + 8),
    address: word(at + 16),
    bytes: word(at + 32),
  }))
  const sections = table(word(40), file.readUInt16LE(58), file.readUInt16LE(60)).map(at => ({
    type: file.readUInt32LE(at + 4),
    bytes: word(at + 32),
  }))
  const offsetOf = (address: number) => {
    const inside = segments.find(
      ({ type, address: start, bytes }) => type === PT_LOAD && address >= start && address < start + bytes,
    )
    if (!inside) throw new Error(`address ${address} is in no segment`)
    return address - inside.address + inside.offset
  }

  const dynamic = segments.find(({ type }) => type === PT_DYNAMIC)
  if (!dynamic) throw new Error('not a shared object')
  const entries = table(dynamic.offset, 16, dynamic.bytes / 16).map(at => ({ tag: word(at), value: word(at + 8) }))
  const value = (tag: number) => entries.find(entry => entry.tag === tag)?.value
  const strings = offsetOf(value(DT.strtab)!)
  const text = (at: number) => file.toString('latin1', strings + at, file.indexOf(0, strings + at))

  const versions = new Map<number, string>()
  let need = value(DT.verneednum) ? offsetOf(value(DT.verneed)!) : 0
  for (let left = value(DT.verneednum) ?? 0; left > 0; left--) {
    let item = need + file.readUInt32LE(need + 8)
    for (let items = file.readUInt16LE(need + 2); items > 0; items--) {
      versions.set(file.readUInt16LE(item + 6) & VERSION_INDEX, text(file.readUInt32LE(item + 8)))
      item += file.readUInt32LE(item + 12)
    }
    need += file.readUInt32LE(need + 12)
  }

  const symbolBytes = sections.find(({ type }) => type === SHT_DYNSYM)?.bytes ?? 0
  const versionOf = (index: number) => {
    const at = value(DT.versym)
    return at === undefined ? undefined : versions.get(file.readUInt16LE(offsetOf(at) + index * 2) & VERSION_INDEX)
  }
  const symbols = table(offsetOf(value(DT.symtab)!), SYMBOL_BYTES, symbolBytes / SYMBOL_BYTES)
    .map((at, index) => ({
      symbol: text(file.readUInt32LE(at)),
      imported: file.readUInt16LE(at + 6) === 0,
      version: versionOf(index),
    }))
    .filter(({ symbol }) => symbol !== '')
  const machine = file.readUInt16LE(18)
  return {
    machine: MACHINES[machine] ?? String(machine),
    libraries: entries.filter(({ tag }) => tag === DT.needed).map(entry => text(entry.value)),
    imports: symbols.filter(({ imported }) => imported).map(({ symbol, version }) => ({ symbol, version })),
    exports: symbols.filter(({ imported }) => !imported).map(({ symbol }) => symbol),
    versions: [...versions.values()],
    bindNow: ((value(DT.flags) ?? 0) & DF_BIND_NOW) !== 0,
    relro: segments.some(({ type }) => type === PT_GNU_RELRO),
    stripped: sections.every(({ type }) => type !== SHT_SYMTAB),
  }
}
