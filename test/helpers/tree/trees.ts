// Trees of files for tests, and what is in one: read slowly, in plain JavaScript, as an independent check of the fast walk.
// Paths are strings with a character for each byte: names need not be UTF-8.
import { createHash } from 'node:crypto'
import { lstatSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, realpathSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { run } from '../process/spawned'
import { extendedAttributes } from './xattrs'

/** A directory for the tests of a file, gone after the last. */
export function useTemporary(): (name: string) => string {
  let directory = ''
  let counter = 0
  beforeAll(() => void (directory = mkdtempSync(path.join(realpathSync(tmpdir()), 'dm-thin-trees-'))))
  // Node takes no path that is longer than the kernel takes.
  afterAll(() => void run('rm', ['-rf', directory]))
  return name => path.join(directory, `${name}-${++counter}`)
}

/** The path as Node takes it when it is not UTF-8. */
export const inTree = (root: string, key: string): Buffer =>
  Buffer.concat([Buffer.from(root), Buffer.from(key, 'latin1')])

/** The same tree elsewhere: other inodes, the same times of modification. */
export function copyTree(from: string, to: string): void {
  run('cp', ['-a', from, to])
}

export interface Facts {
  readonly mode: number
  readonly uid: number
  readonly gid: number
  /** Left out where it does not count: of directories. */
  readonly size?: bigint
  readonly modified?: bigint
  readonly device?: bigint
  /** The target of a symbolic link, a digest of a file's content. */
  readonly content: string
  readonly xattrs: string
}

export type Survey = Map<string, Facts>

/** Everything below `root`. */
export function survey(root: string): Survey {
  const found: Survey = new Map()
  const keys = keysBelow(root, '')
  const attributes = extendedAttributes(keys.map(key => inTree(root, key)))
  keys.forEach((key, index) => found.set(key, factsOf(root, key, attributes[index]!)))
  return found
}

/** The paths of everything below `key`. */
export function keysBelow(root: string, key: string): string[] {
  const names = readdirSync(inTree(root, key), 'buffer').map(name => `${key}/${name.toString('latin1')}`)
  return names.flatMap(each => [each, ...(lstatSync(inTree(root, each)).isDirectory() ? keysBelow(root, each) : [])])
}

function factsOf(root: string, key: string, xattrs: string): Facts {
  const place = inTree(root, key)
  const stat = lstatSync(place, { bigint: true })
  const common = { mode: Number(stat.mode), uid: Number(stat.uid), gid: Number(stat.gid), xattrs }
  if (stat.isDirectory()) return { ...common, content: '' }
  const content = stat.isSymbolicLink()
    ? readlinkSync(place, 'buffer').toString('latin1')
    : stat.isFile()
      ? createHash('sha256').update(readFileSync(place)).digest('hex')
      : ''
  return { ...common, size: stat.size, modified: stat.mtimeNs, device: stat.rdev, content }
}

const same = (one: Facts, other: Facts): boolean =>
  (Object.keys({ ...one, ...other }) as (keyof Facts)[]).every(name => one[name] === other[name])
const isDirectory = (facts: Facts): boolean => (facts.mode & 0o170000) === 0o040000
const parentOf = (key: string): string => key.slice(0, key.lastIndexOf('/'))

/** Lines `A /path` and so on, by the rules that the library documents, from two surveys. */
export function changesBetween(lower: Survey, upper: Survey): string[] {
  const kinds = new Map<string, string>()
  const mark = (key: string, kind: string) => {
    kinds.set(key, kind)
    for (let above = parentOf(key); above !== ''; above = parentOf(above)) {
      if (!kinds.has(above)) kinds.set(above, 'C')
    }
  }
  const orderedUpper = [...upper].sort(([one], [other]) => (one < other ? -1 : 1))
  for (const [key, facts] of orderedUpper) {
    const before = lower.get(key)
    const above = parentOf(key)
    // What a file has become a directory has only new things in it.
    const aboveWas = above === '' ? true : lower.has(above) && isDirectory(lower.get(above)!)
    if (before === undefined || !aboveWas) mark(key, 'A')
    else if (!same(before, facts)) mark(key, 'C')
  }
  for (const key of lower.keys()) {
    const above = parentOf(key)
    const aboveIs = above === '' || (upper.has(above) && isDirectory(upper.get(above)!))
    if (!upper.has(key) && aboveIs) mark(key, 'D')
  }
  return [...kinds].sort(([one], [other]) => (one < other ? -1 : 1)).map(([key, kind]) => `${kind} ${key}`)
}
