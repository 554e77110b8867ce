// Whether the process that left its mark on a loop device is gone.
import { spawnSync } from 'node:child_process'
import { ownerIsGone, ownMark } from '../../../lib/block/loop-owner'

const [, , start = '', namespace = ''] = ownMark().split(':')
const ended = () => spawnSync(process.execPath, ['-e', '']).pid

test('the mark fits where the kernel keeps it', () => {
  expect(ownMark()).toMatch(/^dm-thin:\d+:\d+:\d+$/)
  expect(Buffer.byteLength(`dm-thin:4194304:${'9'.repeat(20)}:4294967295`)).toBeLessThanOrEqual(63)
})

test('this process is not gone; one that has ended is, and so is an earlier one of the same number', () => {
  expect(ownerIsGone(ownMark())).toBe(false)
  expect(ownerIsGone(`dm-thin:${ended()}:${start}:${namespace}`)).toBe(true)
  expect(ownerIsGone(`dm-thin:${process.pid}:1:${namespace}`)).toBe(true)
})

test('of another namespace nothing is known, and what is no mark belongs to nobody', () => {
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
