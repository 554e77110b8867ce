// docs/stability.md: its entries, versions of formats and versions of Node are those of the code.
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { VERSION as METADATA } from '../../../lib/metadata/superblock'
import { FORMAT as RECORD } from '../../../lib/pool/state/record'
import { VERSION as STORE } from '../../../lib/store/records/schema'
import { VERSION as BOOKMARK } from '../../../lib/pool/bookmark/format'
import { FORMAT as BACKUP } from '../../../lib/transfer/backup/manifest'
import { RESUMED_VERSION, VERSION as STREAM } from '../../../lib/transfer/format'
import { readPage } from '../../helpers/docs/code'

const root = path.join(__dirname, '../../..')
const page = readPage('docs/stability.md')
const json = (file: string) =>
  JSON.parse(readFileSync(path.join(root, file), 'utf8')) as Record<string, Record<string, string>>

/** The rows of the table below a heading, each as its cells. */
function rowsBelow(heading: string): string[][] {
  const section = page.slice(page.indexOf(`## ${heading}\n`)).split(/\n## /)[0]!
  const rows = section.split('\n').filter(line => line.startsWith('|'))
  return rows.slice(2).map(row =>
    row
      .split('|')
      .slice(1, -1)
      .map(cell => cell.trim()),
  )
}

test('the page names each entry of the package', () => {
  const entries = Object.keys(json('package.json')['exports']!).filter(name => name !== './package.json')
  const names = rowsBelow('How settled each entry is').map(([name]) => name!.replaceAll('`', ''))
  expect(names.sort()).toEqual(entries.map(name => name.replace(/^\./, 'dm-thin')).sort())
})

test('the page states the version of each format that is written and read', () => {
  const stated = rowsBelow('Formats').map(([name, written, read]) => [/\w+/.exec(name!)![0], written, read])
  expect(stated).toEqual([
    ['record', `${RECORD}`, `${RECORD}`],
    ['records', `${STORE}`, `1–${STORE}`],
    ['stream', `${STREAM}, ${RESUMED_VERSION}`, `${STREAM}, ${RESUMED_VERSION}`],
    ['backup', `${BACKUP}`, `${BACKUP}`],
    ['bookmark', `${BOOKMARK}`, `${BOOKMARK}`],
    ['metadata', `${METADATA}`, `${METADATA}`],
  ])
})

test('the page states the versions of Node that the package accepts, is tested on, and is built for', () => {
  const { engines, binary } = json('package.json')
  const versions = Object.keys(json('test/runtimes/package.json')['dependencies']!).map(name =>
    name.replace('node', ''),
  )
  const [, least, tested, abi] = /\*\*Node\.\*\* (\S+) and later\. .* on Node ([\d, and]+)\. .* version (\d+) of/.exec(
    page,
  )!
  expect(`>=${least}`).toBe(engines!['node'])
  expect(tested!.match(/\d+/g)).toEqual(versions)
  expect([Number(abi)]).toEqual(binary!['napi_versions'])
})
