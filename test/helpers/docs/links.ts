// The relative links of pages, and the anchors to which they lead.
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'

const withoutBlocks = (text: string): string => text.replace(/^```[\s\S]*?^```$/gm, '')

/** The anchors of a page: of each heading lower case, no punctuation, hyphens for blanks, a number from the second on. */
function anchors(file: string): string[] {
  const text = withoutBlocks(readFileSync(file, 'utf8'))
  const slugs = [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
    heading!
      .toLowerCase()
      .replace(/[^\w\- ]/g, '')
      .replaceAll(' ', '-'),
  )
  const count = (slug: string, index: number) => slugs.slice(0, index).filter(each => each === slug).length
  const numbered = slugs.map((slug, index) => (count(slug, index) ? `${slug}-${count(slug, index)}` : slug))
  return [...numbered, ...[...text.matchAll(/<a id="([^"]+)">/g)].map(match => match[1]!)]
}

/** Returns the links of a page whose file or anchor does not exist. */
export function brokenLinks(file: string): string[] {
  const text = withoutBlocks(readFileSync(file, 'utf8')).replace(/`[^`\n]*`/g, '`x`')
  const targets = [...text.matchAll(/\]\(([^)\s]+)\)/g)].map(match => match[1]!)
  return targets.filter(target => {
    if (/^[a-z]+:/.test(target)) return false
    const [name = '', anchor] = target.split('#')
    const to = name === '' ? file : path.join(path.dirname(file), name)
    return !existsSync(to) || (anchor !== undefined && !anchors(to).includes(anchor))
  })
}
