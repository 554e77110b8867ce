// The site of `npm run docs:site` without docs/api, which api.test.ts checks: no dead link, and in a real browser it opens,
// shows pictures, and its search finds.
// @full
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Browser } from '../../helpers/docs/browser'

const root = path.join(__dirname, '../../..')
const folder = mkdtempSync(path.join(tmpdir(), 'dm-thin-site-'))
const site = path.join(folder, 'site')
const read = (file: string): string => readFileSync(path.join(site, file), 'utf8')
const pages = (): string[] =>
  (readdirSync(site, { recursive: true }) as string[]).filter(name => name.endsWith('.html'))

beforeAll(() => {
  const program = path.join(root, 'node_modules/vitepress/bin/vitepress.js')
  const { status, stderr } = spawnSync(process.execPath, [program, 'build', 'docs', '--outDir', site], {
    cwd: root,
    encoding: 'utf8',
    env: { ...process.env, NODE_ENV: 'production', DM_THIN_SITE_API: 'no' },
  })
  if (status !== 0) throw new Error(`the site could not be built: ${stderr}`)
})

afterAll(() => rmSync(folder, { recursive: true }))

test('the site and its sidebar contain every page of the documentation', () => {
  const wanted = ['', 'project/']
    .flatMap(folder => readdirSync(path.join(root, 'docs', folder)).map(file => `${folder}${file}`))
    .filter(file => file.endsWith('.md') && file !== 'README.md')
    .map(file => `docs/${file.replace('.md', '.html')}`)
  expect(wanted.length).toBeGreaterThan(30)
  expect(pages()).toEqual(expect.arrayContaining(['index.html', 'docs/index.html', ...wanted]))
  const sidebar = /<aside class="VPSidebar.*?<\/aside>/s.exec(read('docs/api-at-a-glance.html'))![0]
  const linked = [...sidebar.matchAll(/href="\/([^"]*)"/g)].map(match => match[1])
  expect(linked).toEqual(expect.arrayContaining(wanted))
})

test('the groups of the sidebar are the headings of the index of the documentation', () => {
  const headings = [...readFileSync(path.join(root, 'docs/README.md'), 'utf8').matchAll(/^## (.*)$/gm)].map(
    ([, text]) => text,
  )
  const groups = [...read('docs/index.html').matchAll(/<h2 class="text"[^>]*>([^<]*)/g)].map(([, text]) => text)
  expect(groups).toEqual(headings.length > 0 ? headings : ['Documentation'])
})

test('no link to a page, a heading or a file is dead', () => {
  const idsOf = new Map(
    pages().map(page => [page, new Set([...read(page).matchAll(/ id="([^"]+)"/g)].map(([, id]) => id))]),
  )
  const dead = pages().flatMap(page => {
    const links = [...read(page).matchAll(/ (?:href|src)="([^"]+)"/g)].map(match => match[1]!.replaceAll('&amp;', '&'))
    return links
      .filter(link => !/^([a-z]+:|#$)/.test(link))
      .filter(link => {
        const { pathname, hash } = new URL(link, `http://site/${page}`)
        const file = decodeURI(pathname.slice(1)).replace(/(^|\/)$/, '$1index.html')
        if (!existsSync(path.join(site, file))) return true
        return hash !== '' && !idsOf.get(file)!.has(decodeURIComponent(hash.slice(1)))
      })
      .map(link => `${page}: ${link}`)
  })
  expect(pages().length).toBeGreaterThan(35)
  expect(dead).toEqual([])
})

describe('the site in a browser', () => {
  let server: Server
  let browser: Browser
  let url: string

  beforeAll(async () => {
    const types: Record<string, string> = {
      '.html': 'text/html',
      '.js': 'text/javascript',
      '.css': 'text/css',
      '.svg': 'image/svg+xml',
    }
    server = createServer((request, response) => {
      const file = path.join(site, decodeURI(request.url!.split('?')[0]!).replace(/\/$/, '/index.html'))
      if (!existsSync(file)) return response.writeHead(404).end()
      response.writeHead(200, { 'content-type': types[path.extname(file)] ?? 'text/plain' }).end(readFileSync(file))
    })
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    browser = await Browser.start(path.join(folder, 'profile'))
  })

  afterAll(async () => {
    await browser?.close()
    server.closeAllConnections()
    server.close()
  })

  afterEach(() => expect(browser.complaints).toEqual([]))

  const heading = `document.querySelector('main h1')?.textContent`

  test('opens the front page, and opens another page from it without reloading', async () => {
    await browser.visit(`${url}/`, 1280)
    await browser.until(`${heading}?.startsWith('dm-thin') === true`)
    // Until the scripts run a click would load the page as a file.
    await browser.until(`document.querySelector('#app').__vue_app__ !== undefined`)
    await browser.evaluate(
      `globalThis.stayed = true; document.querySelector('.VPSidebar a[href="/docs/concepts.html"]').click()`,
    )
    await browser.until(`${heading}?.startsWith('Concepts') === true`)
    expect(await browser.evaluate('globalThis.stayed')).toBe(true)
  })

  const sources = readdirSync(path.join(root, 'docs')).filter(name => name.endsWith('.md'))
  const count = (name: string, pattern: RegExp): number =>
    readFileSync(path.join(root, 'docs', name), 'utf8').match(pattern)?.length ?? 0
  const pictured = sources.map(name => [name, count(name, /^!\[/gm), count(name, /^```mermaid$/gm)] as const)

  test.each(pictured.filter(([, pictures, diagrams]) => pictures + diagrams > 0))(
    'shows on %s %i pictures and %i diagrams',
    async (name, pictures, diagrams) => {
      await browser.visit(`${url}/docs/${name.replace('.md', '.html')}`, 1280)
      await browser.until(`document.querySelectorAll('main pre.mermaid svg').length === ${diagrams}`)
      await browser.until(`document.querySelectorAll('main .vp-doc img').length === ${pictures}`)
      const shown = '[...document.images].every(each => each.complete && each.naturalWidth > 0)'
      await browser.until(shown)
      expect(await browser.evaluate(`document.querySelectorAll('main .error-icon').length`)).toBe(0)
    },
  )

  test('finds a page by one of its words, and opens it from the search results', async () => {
    await browser.visit(`${url}/`, 1280)
    await browser.until(`document.querySelector('#app')?.__vue_app__ !== undefined`)
    await browser.until(`document.querySelector('.VPNavBarSearch button') !== null`)
    await browser.evaluate(`document.querySelector('.VPNavBarSearch button').click()`)
    await browser.until(`document.querySelector('#localsearch-input') !== null`)
    await browser.evaluate(`{
      const input = document.querySelector('#localsearch-input')
      input.value = 'DM_ALREADY_ACTIVE'
      input.dispatchEvent(new Event('input'))
    }`)
    const result = `document.querySelector('.VPLocalSearchBox .result[href*="errors.html#dm_already_active"]')`
    await browser.until(`${result} !== null`)
    await browser.evaluate(`${result}.click()`)
    await browser.until(`location.pathname === '/docs/errors.html' && location.hash === '#dm_already_active'`)
    await browser.until(`${heading}?.startsWith('Errors') === true`)
  })
})
