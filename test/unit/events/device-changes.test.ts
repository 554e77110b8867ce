import { changesBetween, known } from '../../../lib/events/device-changes'
import type { ListedDevice } from '../../../lib/kernel/port/device-port'

const device = (minor: number, name: string, eventNumber = 0, uuid = ''): ListedDevice => ({
  device: 0xfd00 + minor,
  name,
  uuid,
  eventNumber,
})
const between = (before: ListedDevice[], after: ListedDevice[]) =>
  changesBetween(known(before), known(after)).map(({ type, name, count, previousName }) =>
    [type, name, count, previousName].filter(part => part !== undefined).join(' '),
  )

test.each([
  ['nothing', [device(0, 'a')], [device(0, 'a')], []],
  ['a new one', [], [device(0, 'a')], ['added a']],
  ['one gone', [device(0, 'a')], [], ['removed a']],
  ['events, with their number', [device(0, 'a', 1)], [device(0, 'a', 4)], ['event a 3']],
  ['a renamed one', [device(0, 'a', 1)], [device(0, 'b', 1)], ['renamed b a']],
  ['a first uuid', [device(0, 'a')], [device(0, 'a', 0, 'u')], ['renamed a a']],
  ['renamed, and an event', [device(0, 'a', 1, 'u')], [device(0, 'b', 2, 'u')], ['renamed b a', 'event b 1']],
  ['another of the same number', [device(0, 'a', 0, 'u')], [device(0, 'a', 0, 'v')], ['removed a', 'added a']],
  ['another, known by its lower count', [device(0, 'a', 5)], [device(0, 'a', 0)], ['removed a', 'added a']],
  ['another of another name', [device(0, 'a', 5)], [device(0, 'b', 0)], ['removed a', 'added b']],
  ['a count that went round', [device(0, 'a', 2 ** 32 - 1)], [device(0, 'a', 1)], ['event a 2']],
  ['gone before come', [device(0, 'a')], [device(1, 'b')], ['removed a', 'added b']],
])('%s', (_, before, after, expected) => {
  expect(between(before, after)).toEqual(expected)
})
