// The sidebar, read from the index of the documentation: a group for each heading, and a page for each link below it.

/** @typedef {{ text: string, link?: string, collapsed?: boolean, items?: Item[] }} Item */

const LINK = /\[([^\]]+)\]\(([^):]+)\.md\)/g

/**
 * Of an item of a list or a row of a table its first link counts, the others belong to its text. Of other text, all do.
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
    const links = [...line.matchAll(LINK)].slice(0, /^([-*|]|\d+\.)/.test(line) ? 1 : undefined)
    for (const [, text, page] of links) {
      const link = `/docs/${page}`.replace(/README$/, '')
      if (seen.has(link) || page.startsWith('../')) continue
      seen.add(link)
      items.push({ text, link })
    }
  }
  return groups.filter(({ items }) => items.length > 0)
}

/** The group of the pages in docs/api. @param {string[]} files @returns {Item} */
export function apiGroup(files) {
  const names = files.filter(file => file.endsWith('.md') && file !== 'README.md').map(file => file.slice(0, -3))
  return { text: 'API', collapsed: true, items: names.sort().map(text => ({ text, link: `/docs/api/${text}` })) }
}
