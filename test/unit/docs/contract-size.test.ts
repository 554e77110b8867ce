// docs/testing.md says how large the contract is, by subject. When this fails, write what it is there.
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { CONTRACT, size } from '../../contract/contract.js'

const page = readFileSync(path.join(__dirname, '../../../docs/testing.md'), 'utf8')

test('the page states the number of cases, in total and by subject', () => {
  expect(Number(/One suite of (\d+) cases/.exec(page)?.[1])).toBe(size())
  const [, table = ''] = /^\| about +\| cases \|\n([\s\S]*?)\n\n/m.exec(page) ?? []
  const stated = [...table.matchAll(/^\| ([^|]*[a-z]) +\| (\d+) +\|$/gm)].map(match => [match[1], Number(match[2])])
  expect(stated).toEqual(Object.entries(CONTRACT).map(([about, cases]) => [about, cases.length]))
})

test('each case has a different title', () => {
  const titles = Object.values(CONTRACT)
    .flat()
    .map(({ title }) => title)
  expect(new Set(titles).size).toBe(titles.length)
  expect(size()).toBeGreaterThanOrEqual(60)
})
