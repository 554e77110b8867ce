// What the site makes of links and diagrams that are written for a reader of the repository.
import { copyFileSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'

const root = path.resolve(import.meta.dirname, '../..')

/** The anchor that GitHub gives a heading. @param {string} heading */
export const anchorOf = heading =>
  heading
    .trim()
    .toLowerCase()
    .replace(/[^\p{L}\p{N}_\- ]/gu, '')
    .replaceAll(' ', '-')

/** Files and folders that pages lead to and that are no pages: they become texts of the site. */
const sources = new Set()

/** @param {import('vitepress').MarkdownRenderer} md */
export function leadLinks(md) {
  md.core.ruler.push('lead-links', ({ tokens, env }) => {
    for (const token of tokens.flatMap(({ children }) => children ?? [])) {
      if (token.type === 'link_open') token.attrSet('href', ledTo(token.attrGet('href') ?? '', env.relativePath))
    }
  })
}

/** @param {string} href @param {string} page */
function ledTo(href, page) {
  if (/^([a-z]+:|#|\/)/.test(href)) return href
  const [file, anchor] = decodeURI(href).split('#')
  const hash = anchor === undefined ? '' : `#${anchor}`
  if (file.endsWith('.md')) return `${file.replace(/README\.md$/, 'index.md')}${hash}`
  const target = path.join(path.dirname(page), file)
  sources.add(target)
  return `/source/${target}.txt`
}

/** @param {string} outDir */
export function copySources(outDir) {
  for (const source of sources) {
    const from = path.join(root, source)
    const to = path.join(outDir, `source/${source}.txt`)
    mkdirSync(path.dirname(to), { recursive: true })
    if (statSync(from).isDirectory()) writeFileSync(to, `${source}:\n\n${readdirSync(from).sort().join('\n')}\n`)
    else copyFileSync(from, to)
  }
}

/** Leaves the text of diagrams to the browser, which draws them: see theme/index.mjs. @param {import('vitepress').MarkdownRenderer} md */
export function drawMermaid(md) {
  const { fence } = md.renderer.rules
  md.renderer.rules.fence = (tokens, index, ...rest) => {
    const { info, content } = tokens[index]
    if (info.trim() !== 'mermaid') return fence?.(tokens, index, ...rest) ?? ''
    return `<pre class="mermaid" v-pre>${md.utils.escapeHtml(content)}</pre>`
  }
}
