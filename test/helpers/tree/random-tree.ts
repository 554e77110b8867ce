// Trees drawn from a seed, and changes to them: all kinds of entries, names that sort and print badly.
import {
  appendFileSync,
  chmodSync,
  chownSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import type { Random } from '../random/random'
import { run } from '../process/spawned'
import { inTree, keysBelow } from './trees'
import { setExtendedAttribute } from './xattrs'

const NAMES = [
  'a',
  'a-b',
  'a.b',
  'a b',
  'a0',
  'b',
  'ab',
  'Z',
  '~',
  '\xc3\xa9',
  '\xff\xfe',
  'line\nbreak',
  'x'.repeat(200),
]

/** Without root nobody reads what has no mode, nor looks into what has no x. */
const MODES = process.getuid?.() === 0 ? [0o600, 0o755, 0o4711, 0] : [0o700, 0o755, 0o4711, 0o744]

export class RandomTree {
  readonly #random: Random
  readonly #root: string

  constructor(random: Random, root: string) {
    this.#random = random
    this.#root = root
  }

  /** Makes the root, and `count` entries below it. */
  grow(count: number): void {
    mkdirSync(this.#root, { recursive: true })
    for (let left = count; left > 0; left--) this.#add()
  }

  /** `count` changes, of all kinds. */
  change(count: number): void {
    for (let left = count; left > 0; left--) this.#changeOne()
  }

  #at(key: string): Buffer {
    return inTree(this.#root, key)
  }

  #keys(wanted: (mode: number) => boolean): string[] {
    return keysBelow(this.#root, '').filter(key => wanted(lstatSync(this.#at(key)).mode & 0o170000))
  }

  #content(): Buffer {
    const size = this.#random.pick([0, 1, 100, 511, 512, 513, 5000])
    return Buffer.alloc(size, this.#random.integer(0, 255))
  }

  #add(): void {
    const folder = this.#random.pick(['', ...this.#keys(type => type === 0o040000)])
    const key = `${folder}/${this.#random.pick(NAMES)}`
    const taken = lstatSync(this.#at(key), { throwIfNoEntry: false }) !== undefined
    // Far below the longest path that Node and the programs of the checks take.
    if (!taken && key.length < 1500) this.#make(key)
  }

  #make(key: string): void {
    const place = this.#at(key)
    const kind = this.#random.integer(0, 9)
    if (kind < 3) mkdirSync(place)
    else if (kind < 7) writeFileSync(place, this.#content())
    else if (kind === 7) symlinkSync(this.#random.pick(['nowhere', '../a', '/etc/passwd', 'y'.repeat(150)]), place)
    else if (kind === 8) this.#makeLink(place)
    else if (/^[\x20-\x7e]*$/.test(key)) run('mkfifo', [place.toString()])
    else writeFileSync(place, '')
  }

  #makeLink(place: Buffer): void {
    const files = this.#keys(type => type === 0o100000)
    if (files.length === 0) writeFileSync(place, 'alone')
    else linkSync(this.#at(this.#random.pick(files)), place)
  }

  #changeOne(): void {
    const keys = this.#keys(() => true)
    if (keys.length === 0) return this.#add()
    const key = this.#random.pick(keys)
    const place = this.#at(key)
    const stat = lstatSync(place)
    const kind = this.#random.integer(0, 8)
    if (kind <= 1) this.#add()
    else if (kind === 2) rmSync(place, { recursive: true })
    else if (kind === 3) this.#replace(key, place)
    else if (kind === 4 && !stat.isSymbolicLink()) chmodSync(place, this.#random.pick(MODES))
    else if (kind === 5 && stat.isFile()) appendFileSync(place, 'more')
    else if (kind === 6 && stat.isFile() && stat.size > 0) this.#rewrite(place)
    else if (kind === 7 && stat.isFile() && /^[\x20-\x7e]*$/.test(key)) {
      setExtendedAttribute(place.toString(), 'user.word', Buffer.from([0xff, 0, this.#random.integer(0, 255)]))
    } else if (kind === 8 && process.getuid?.() === 0 && !stat.isSymbolicLink()) chownSync(place, 7, 300_000)
    else lutimesSync(place, 1, this.#random.integer(1, 2_000_000_000))
  }

  #replace(key: string, place: Buffer): void {
    rmSync(place, { recursive: true })
    this.#make(key)
  }

  /** Other content of the same size, as if at the same time. */
  #rewrite(place: Buffer): void {
    const { atime, mtime } = lstatSync(place)
    const content = readFileSync(place)
    content[0] = content[0]! ^ 0xff
    writeFileSync(place, content)
    utimesSync(place, atime, mtime)
  }
}
