// The site: README, docs/, the READMEs of the examples and the pages beside README, as they are. `npm run docs:site`
// builds it into dist-site, with the pages of `npm run docs` in docs/api.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { defineConfig } from 'vitepress'
import { anchorOf, copySources, drawMermaid, leadLinks } from './markdown.mjs'
import { apiGroup, sidebarOf } from './sidebar.mjs'

const read = path => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')
const { name, description } = JSON.parse(read('package.json'))

/** The tests build the site without the API reference, which takes half of the time. */
const api = new URL('../api/', import.meta.url)
const hasApi = process.env.DM_THIN_SITE_API !== 'no' && existsSync(api)

export default defineConfig({
  title: name,
  description,
  lang: 'en',
  srcDir: '..',
  srcExclude: [
    ...['build*/**', 'dist-*/**', 'lib/**', 'native/**', 'prebuilds/**', 'test/**'],
    ...(hasApi ? [] : ['docs/api/**']),
  ],
  outDir: '../dist-site',
  cacheDir: '../.cache/vitepress',
  rewrites: { 'README.md': 'index.md', ':folder(.*)/README.md': ':folder/index.md' },
  markdown: {
    anchor: { slugify: anchorOf },
    config(md) {
      leadLinks(md)
      drawMermaid(md)
    },
  },
  themeConfig: {
    nav: [
      { text: 'Documentation', link: '/docs/' },
      { text: 'API', link: hasApi ? '/docs/api/' : '/docs/api-at-a-glance' },
      { text: 'Changes', link: '/CHANGELOG' },
      { text: 'Contributing', link: '/CONTRIBUTING' },
      { text: 'Security', link: '/SECURITY' },
    ],
    sidebar: [
      { text: name, link: '/' },
      ...sidebarOf(read('docs/README.md')),
      ...(hasApi ? [apiGroup(readdirSync(api))] : []),
    ],
    outline: [2, 3],
    search: { provider: 'local' },
  },
  // The script of the diagrams is one file of 2.5 MB, which only pages with a diagram load.
  vite: { build: { chunkSizeWarningLimit: 3000 } },
  buildEnd: ({ outDir }) => copySources(outDir),
})
