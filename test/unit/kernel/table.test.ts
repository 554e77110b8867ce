import { buildTable, type Segment } from '../../../lib/kernel/table'
import { thrown } from '../../helpers/errors/thrown'

const segment = (lengthSectors: unknown, type: unknown = 'zero', parameters: unknown = '') =>
  ({ lengthSectors, type, parameters }) as Segment

test('buildTable places segments one after another', () => {
  expect(buildTable([segment(8), segment(16, 'linear', '7:0 0'), segment(1)])).toEqual([
    { startSectors: 0, lengthSectors: 8, type: 'zero', parameters: '' },
    { startSectors: 8, lengthSectors: 16, type: 'linear', parameters: '7:0 0' },
    { startSectors: 24, lengthSectors: 1, type: 'zero', parameters: '' },
  ])
})

test.each([
  ['an empty list of segments', []],
  ['an object that is not an array', { 0: segment(8) }],
  ['a length of 0', [segment(0)]],
  ['a fraction of a sector', [segment(1.5)]],
  ['a target without a name', [segment(8, '')]],
  ['a target’s name of 16 bytes', [segment(8, 'x'.repeat(16))]],
  ['parameters with a NUL character', [segment(8, 'linear', 'a\0b')]],
  ['parameters that are not a string', [segment(8, 'linear', 7)]],
])('buildTable rejects %s', (_, segments) => {
  expect(thrown(() => buildTable(segments as Segment[]))).toMatchObject({ code: 'DM_INVALID_ARGUMENT' })
})

test('buildTable names the invalid segment', () => {
  expect(thrown(() => buildTable([segment(8), segment(-1)]))).toMatchObject({
    message: expect.stringMatching(/^segment 1: lengthSectors/) as string,
  })
})
