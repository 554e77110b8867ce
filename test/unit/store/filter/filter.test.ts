// containerd's filter language over layers: what it lets through, what it refuses and where.
import { MAX_FILTER, MAX_PATTERN, parseFilter, parseFilters } from '../../../../lib/store/filter/filter.js'
import { thrown } from '../../../helpers/errors/thrown.js'
import { layer } from '../../../helpers/store/filters.js'

const LAYERS = [
  layer('a1', { labels: { l1: 'v1', owner: 'team-a' } }),
  layer('a2', { parent: 'c2' }),
  layer('v1', { kind: 'view', parent: 'c2', labels: { l1: 'other' } }),
  layer('c1', { kind: 'committed', labels: { 'containerd.io/snapshot.ref': 'sha256:00', 'a "b", c\\': 'present' } }),
  layer('c2', { kind: 'committed', parent: 'c1', labels: { 'one.two.three': 'x,y z' } }),
]
const passing = (...filters: string[]): string[] => LAYERS.filter(parseFilters(filters)).map(({ key }) => key)
const ALL = LAYERS.map(({ key }) => key)

test.each<[string, string[]]>([
  ['', ALL],
  ['name', ALL],
  ['parent', ALL],
  ['kind', ALL],
  ['labels', []],
  ['size', []],
  ['name==a1', ['a1']],
  ['"name"==a1', ['a1']],
  ['name == a1', ['a1']],
  [' name== \t"a1"', ['a1']],
  ['name!=a1', ['a2', 'v1', 'c1', 'c2']],
  ['parent==""', ['a1', 'c1']],
  ['parent==c2', ['a2', 'v1']],
  ['kind==view', ['v1']],
  ['kind!=committed', ['a1', 'a2', 'v1']],
  ['kind==committed,parent==c1', ['c2']],
  ['kind==committed, parent!=c1', ['c1']],
  ['labels.l1', ['a1', 'v1']],
  ['labels.l1==v1', ['a1']],
  ['labels.l1!=v1', ['a2', 'v1', 'c1', 'c2']],
  ['labels.l1!=""', ['a1', 'v1']],
  ['labels."l1",name~=^a', ['a1']],
  ['labels.owner==team-a', ['a1']],
  ['labels."containerd.io/snapshot.ref"==sha256:00', ['c1']],
  ['labels."containerd.io/snapshot.ref"==sha256:00,parent==""', ['c1']],
  ['labels."a \\"b\\", c\\\\"', ['c1']],
  ['labels.one.two.three', ['c2']],
  ['labels.one."two.three"', ['c2']],
  ['labels.one.two.three=="x,y z"', ['c2']],
  ['labels.one.two.three=="\\x78\\054\\u0079\\U00000020z"', ['c2']],
  ['labels.constructor', []],
  ['labels.__proto__', []],
  ['name~=1', ['a1', 'v1', 'c1']],
  ['name~=/^[av]/', ['a1', 'a2', 'v1']],
  ['name~=|^a[12]$|', ['a1', 'a2']],
  ['name~="^.2$"', ['a2', 'c2']],
  ['name~=/a{1,2}/,kind~=act', ['a1', 'a2']],
  ['labels.l1~=/^$/', ['a2', 'c1', 'c2']],
])('the filter %s selects the expected layers', (filter, expected) => {
  expect(passing(filter)).toEqual(expected)
})

test('a list of filters selects the layers that any of them selects, and an empty list selects all', () => {
  expect(passing('name==a1', 'kind==committed,parent==c1')).toEqual(['a1', 'c2'])
  expect(passing('name==a1', '')).toEqual(ALL)
  expect(passing()).toEqual(ALL)
})

/** The filter, and where it is wrong. */
test.each<[string, number]>([
  [',', 0],
  ['name==a1,', 9],
  ['labels.', 7],
  ['labels.?', 7],
  ['labels.|l1|', 7],
  ['labels.ns/key==value', 9],
  ['name ', 5],
  ['name b', 5],
  ['name=a1', 4],
  ['name=~a1', 4],
  ['name===a1', 4],
  ['name==', 6],
  ['name~=,kind', 6],
  ['name==.a', 6],
  ['name==/a1/', 6],
  ['name==|a1|', 6],
  ['name==a1 ,kind', 8],
  ['name=="a1"x', 10],
  ['name=="a1', 6],
  ['name=="a\n1"', 6],
  ['name=="\\q"', 7],
  ['name=="\\/"', 7],
  ['name=="\\x4"', 7],
  ['name=="\\400"', 7],
  ['name=="\\U00110000"', 7],
  ['name=="\\xff"', 6],
  ['name==\0', 6],
  ['name==\ud800', 6],
  ['name==\u200b', 6],
  ['name~=/(/', 6],
  ['name~=/\\d/', 7],
  ['name~="\\\\1"', 6],
  ['name~=(?=a)', 6],
  [`name~=${'a'.repeat(MAX_PATTERN + 1)}`, 6],
  ['a'.repeat(MAX_FILTER + 1), 0],
])('the filter %j is rejected with DM_FILTER at offset %i', (filter, at) => {
  expect(thrown(() => parseFilter(filter))).toMatchObject({ code: 'DM_FILTER', detail: String(at) })
})

test('the error for a missing re2js names the package to install, and filters without ~= do not need it', async () => {
  await jest.isolateModulesAsync(async () => {
    jest.doMock('re2js', () => {
      throw Object.assign(new Error("Cannot find module 're2js'"), { code: 'MODULE_NOT_FOUND' })
    })
    const { parseFilter: parse } = await import('../../../../lib/store/filter/filter.js')
    expect(LAYERS.filter(parse('name==a1')).map(({ key }) => key)).toEqual(['a1'])
    const message = expect.stringContaining('npm install re2js@^2') as unknown
    expect(() => parse('name~=a')).toThrow(
      expect.objectContaining({ code: 'DM_DEPENDENCY', detail: 're2js', message }) as Error,
    )
  })
  jest.dontMock('re2js')
})
