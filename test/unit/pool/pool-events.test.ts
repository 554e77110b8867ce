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
  ['no event if no condition changed', line(10), line(11), []],
  ['low-water if free blocks fall to the mark', line(89), line(90), ['low-water']],
  ['no event if free blocks were below the mark before', line(90), line(95), []],
  ['low-water again after blocks were freed', line(50), line(95), ['low-water']],
  ['low-water again after the pool grew', line(95, 100), line(195, 200), ['low-water']],
  ['a change of mode if the pool is full', line(95), line(100, 100, 'out_of_data_space'), ['mode']],
  ['metadata-low if metadata blocks run low', line(10), line(10, 100, 'rw', '900/1000'), ['metadata-low']],
  [
    'needs-check and the mode of a pool that became read-only',
    line(10),
    line(10, 100, 'ro', '20/1000', 'needs_check'),
    ['mode', 'needs-check'],
  ],
  ['failed and the mode of a pool that failed', line(10), status('Fail'), ['mode', 'failed']],
  ['no event if the pool had failed before', status('Fail'), status('Fail'), []],
  ['no event of a healthy pool at the start of a watch', undefined, line(10), []],
  [
    'the conditions that hold at the start of a watch',
    undefined,
    line(95, 100, 'ro', '950/1000', 'needs_check'),
    ['needs-check', 'low-water', 'metadata-low'],
  ],
])('eventsBetween reports %s', (_, before, now, expected) => {
  expect(types(before, now)).toEqual(expected)
})

test('eventsBetween marks conditions that hold at the start of a watch as initial', () => {
  expect(eventsBetween(undefined, line(95))).toMatchObject([{ type: 'low-water', initial: true }])
  expect(eventsBetween(line(10), line(95))).toMatchObject([{ type: 'low-water', initial: false }])
})
