import { capabilitiesOf } from '../../../lib/mapper/capabilities'

const at = (...version: number[]) => capabilitiesOf(version, []).features

test('a feature is available from its version on, and not before', () => {
  expect(at(4, 0, 0)).toEqual(Object.fromEntries(Object.keys(at(4, 0, 0)).map(name => [name, false])))
  expect(at(4, 48, 0)).toEqual(Object.fromEntries(Object.keys(at(4, 0, 0)).map(name => [name, true])))
  expect(at(4, 37, 0)).toMatchObject({ eventPoll: true, targetVersion: false, filteredList: false })
  expect(at(4, 36, 0)).toMatchObject({ eventPoll: false, deferredRemove: true })
  expect(at(5, 0, 0)).toMatchObject({ eventPoll: true, filteredList: true })
})

test('the targets of capabilitiesOf are those of the list, with their versions', () => {
  const { targets, interfaceVersion } = capabilitiesOf([4, 48, 0], [{ name: 'thin', version: [1, 23, 0] }])
  expect(targets.get('thin')).toEqual([1, 23, 0])
  expect(targets.has('thin-pool')).toBe(false)
  expect(interfaceVersion).toEqual([4, 48, 0])
})
