// The sidebar, read from the index of the documentation: a group for each heading, and a page for each link below it.

/** @typedef {{ text: string, link?: string, collapsed?: boolean, items?: Item[] }} Item */

const LINK = /\[([^\]]+)\]\(([^):]+)\.md\)/g

/**
 * Of an item of a list or a row of a table its first link counts, the others belong to its text. Of an item below an
 * item, and of other text, all do.
 * @param {string} index the text of docs/README.md
 */
export function sidebarOf(index) {
  /** @type {Item[]} */
  let items = []
  const groups = [{ text: 'Documentation', items }]
  const seen = new Set()
  for (const line of index.split('\n')) {
    const [, heading] = /^## (.*)/.exec(line) ?? []
    if (heading) {
      items = []
      groups.push({ text: heading, items })
    }
    const below = /^\s+[-*\d]/.test(line) && items.length > 0
    const links = [...line.matchAll(LINK)].slice(0, /^([-*|]|\d+\.)/.test(line) ? 1 : undefined)
    for (const [, text, page] of links) {
      const link = `/docs/${page}`.replace(/README$/, '')
      if (seen.has(link) || page.startsWith('../')) continue
      seen.add(link)
      const above = below ? items.at(-1) : undefined
      if (above) Object.assign(above, { collapsed: true, items: [...(above.items ?? []), { text, link }] })
      else items.push({ text, link })
    }
  }
  return groups.filter(({ items }) => items.length > 0)
}
