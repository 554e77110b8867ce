// Whether the process that left its mark on a loop device is gone.
import { spawnSync } from 'node:child_process'
import { ownerIsGone, ownMark } from '../../../lib/block/loop-owner'

const [, , start = '', namespace = ''] = ownMark().split(':')
const ended = () => spawnSync(process.execPath, ['-e', '']).pid

test('the owner mark of a loop device fits into the 63 bytes of its name field', () => {
  expect(ownMark()).toMatch(/^dm-thin:\d+:\d+:\d+$/)
  expect(Buffer.byteLength(`dm-thin:4194304:${'9'.repeat(20)}:4294967295`)).toBeLessThanOrEqual(63)
})

test('ownerIsGone returns false for this process, and true for an ended one or an earlier one with the same pid', () => {
  expect(ownerIsGone(ownMark())).toBe(false)
  expect(ownerIsGone(`dm-thin:${ended()}:${start}:${namespace}`)).toBe(true)
  expect(ownerIsGone(`dm-thin:${process.pid}:1:${namespace}`)).toBe(true)
})

test('ownerIsGone returns false for another pid namespace and for text that is not an owner mark', () => {
  expect(ownerIsGone(`dm-thin:${ended()}:${start}:1`)).toBe(false)
  for (const text of [
    '',
    '/var/lib/disk.img',
    'dm-thin:',
    'dm-thin:1:2',
    `x${ownMark()}`,
    `dm-thin:-1:1:${namespace}`,
  ]) {
    expect(ownerIsGone(text)).toBe(false)
  }
})
