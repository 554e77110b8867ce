// The programs in the pages: every block of code that is marked js.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'

const root = path.join(__dirname, '../../..')

export interface Block {
  /** As `docs/pools.md`. */
  readonly page: string
  /** The line of the page on which the code begins, from 1. */
  readonly line: number
  readonly code: string
}

const inFolder = (folder: string): string[] =>
  readdirSync(path.join(root, folder))
    .filter(name => name.endsWith('.md'))
    .map(name => path.join(folder, name))

/** The pages of the root folder and of docs, by name. */
export const pages: readonly string[] = [...inFolder('.'), ...inFolder('docs')].sort()

export const readPage = (page: string): string => readFileSync(path.join(root, page), 'utf8')

/** Returns the blocks of a page that are marked with a language, in their order. */
export function blocksOf(page: string, language: string): Block[] {
  const text = readPage(page)
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, 'gm'))].map(match => ({
    page,
    line: text.slice(0, match.index).split('\n').length + 1,
    code: match[1]!,
  }))
}

/** Returns the programs of a page, or of all pages. */
export const programs = (...of: readonly string[]): Block[] =>
  (of.length > 0 ? of : pages).flatMap(page => blocksOf(page, 'js'))

export const isForContainerd = ({ code }: Block): boolean => code.includes('io.containerd.snapshotter.v1.devmapper')

/** Writes the programs below a folder and returns their files, in the same order. */
export function writePrograms(blocks: readonly Block[], folder: string): string[] {
  mkdirSync(folder, { recursive: true })
  return blocks.map(({ page, line, code }) => {
    const file = path.join(folder, `${path.basename(page, '.md')}-${line}.mjs`)
    writeFileSync(file, code)
    return file
  })
}
