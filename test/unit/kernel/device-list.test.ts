import { unpackList } from '../../../lib/kernel/device-list'

test('unpackList returns the devices of a packed list in several pieces, with any name, without uuid or event number', () => {
  const texts = ['a\0\0b ü\nc\0uuid\0', 'd\0\0']
  const numbers = Float64Array.from([0xfd00, 0, 0xfffffd01, 2 ** 32 - 1, 0xfd02, -1])
  expect(unpackList({ texts, numbers })).toEqual([
    { name: 'a', uuid: '', device: 0xfd00, eventNumber: 0 },
    { name: 'b ü\nc', uuid: 'uuid', device: 0xfffffd01, eventNumber: 2 ** 32 - 1 },
    { name: 'd', uuid: '', device: 0xfd02 },
  ])
  expect(unpackList({ texts: [], numbers: new Float64Array() })).toEqual([])
})
