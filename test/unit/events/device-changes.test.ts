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
  ['no event if nothing changed', [device(0, 'a')], [device(0, 'a')], []],
  ['a new device', [], [device(0, 'a')], ['added a']],
  ['a removed device', [device(0, 'a')], [], ['removed a']],
  ['the number of new events', [device(0, 'a', 1)], [device(0, 'a', 4)], ['event a 3']],
  ['a renamed device', [device(0, 'a', 1)], [device(0, 'b', 2)], ['renamed b a', 'event b 1']],
  ['the first uuid of a device', [device(0, 'a')], [device(0, 'a', 1, 'u')], ['renamed a a', 'event a 1']],
  ['a renamed device with a uuid and no table', [device(0, 'a', 0, 'u')], [device(0, 'b', 0, 'u')], ['renamed b a']],
  [
    'another device with the same number, if the kernel raised no event of a rename',
    [device(0, 'a', 1)],
    [device(0, 'b', 1)],
    ['removed a', 'added b'],
  ],
  [
    'another device with the same number, if the kernel raised no event of a first uuid',
    [device(0, 'a')],
    [device(0, 'a', 0, 'u')],
    ['removed a', 'added a'],
  ],
  [
    'a rename and an event of one device',
    [device(0, 'a', 1, 'u')],
    [device(0, 'b', 2, 'u')],
    ['renamed b a', 'event b 1'],
  ],
  [
    'another device with the same number, if its uuid differs',
    [device(0, 'a', 0, 'u')],
    [device(0, 'a', 0, 'v')],
    ['removed a', 'added a'],
  ],
  [
    'another device with the same number, if its event count is lower',
    [device(0, 'a', 5)],
    [device(0, 'a', 0)],
    ['removed a', 'added a'],
  ],
  [
    'another device with the same number and another name',
    [device(0, 'a', 5)],
    [device(0, 'b', 0)],
    ['removed a', 'added b'],
  ],
  ['an event count that wrapped around', [device(0, 'a', 2 ** 32 - 1)], [device(0, 'a', 1)], ['event a 2']],
  ['gone before come', [device(0, 'a')], [device(1, 'b')], ['removed a', 'added b']],
])('changesBetween reports %s', (_, before, after, expected) => {
  expect(between(before, after)).toEqual(expected)
})
