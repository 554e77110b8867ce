import { eventsBetween } from '../../../lib/pool/pool-events'
import { poolStatus, type PoolStatus } from '../../../lib/pool/state/status'
import { parsePoolTable } from '../../../lib/target/thin-pool'

const table = parsePoolTable({
  startSectors: 0,
  lengthSectors: 12800,
  type: 'thin-pool',
  parameters: '7:1 7:0 128 10 0',
})
const status = (text: string): PoolStatus => poolStatus(text, table)
const line = (used: number, total = 100, mode = 'rw', metadata = '20/1000', check = '-') =>
  status(`0 ${metadata} ${used}/${total} - ${mode} discard_passdown queue_if_no_space ${check} 100 `)
const types = (before: PoolStatus | undefined, now: PoolStatus) => eventsBetween(before, now).map(event => event.type)

test.each([
  ['nothing', line(10), line(11), []],
  ['at the mark', line(89), line(90), ['low-water']],
  ['below it already', line(90), line(95), []],
  ['low again after space came back', line(50), line(95), ['low-water']],
  ['low again after it grew', line(95, 100), line(195, 200), ['low-water']],
  ['full', line(95), line(100, 100, 'out_of_data_space'), ['mode']],
  ['metadata', line(10), line(10, 100, 'rw', '900/1000'), ['metadata-low']],
  ['read-only, to be checked', line(10), line(10, 100, 'ro', '20/1000', 'needs_check'), ['mode', 'needs-check']],
  ['failed', line(10), status('Fail'), ['mode', 'failed']],
  ['still failed', status('Fail'), status('Fail'), []],
  ['healthy at first', undefined, line(10), []],
  [
    'conditions at first',
    undefined,
    line(95, 100, 'ro', '950/1000', 'needs_check'),
    ['needs-check', 'low-water', 'metadata-low'],
  ],
])('%s', (_, before, now, expected) => {
  expect(types(before, now)).toEqual(expected)
})

test('conditions that hold at the start of a watch are marked as initial', () => {
  expect(eventsBetween(undefined, line(95))).toMatchObject([{ type: 'low-water', initial: true }])
  expect(eventsBetween(line(10), line(95))).toMatchObject([{ type: 'low-water', initial: false }])
})
