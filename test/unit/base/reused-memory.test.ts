// Memory that is used again when its users are counted, and never before.
import { release, retain, reusedMemory } from '../../../lib/base/reused-memory'

test('a piece is used again after its last user, and not before', () => {
  const take = reusedMemory(4096)
  const first = take()
  retain(first.subarray(10, 20))
  release(first)
  const second = take()
  expect(second.buffer).not.toBe(first.buffer)
  release(first.subarray(10, 20))
  const third = take()
  expect(third.buffer).toBe(first.buffer)
  expect(third).toHaveLength(4096)
})

test('a piece that is used again counts its own users only', () => {
  const take = reusedMemory(16)
  const { buffer } = take()
  release(Buffer.from(buffer))
  const again = take()
  expect(again.buffer).toBe(buffer)
  expect(take().buffer).not.toBe(buffer)
  release(again)
  expect(take().buffer).toBe(buffer)
})

test('memory of others, and a release too many, are ignored', () => {
  const take = reusedMemory(16)
  const other = Buffer.alloc(16)
  retain(other)
  release(other)
  const piece = take()
  release(piece)
  release(piece)
  const taken = [take(), take()].map(({ buffer }) => buffer)
  expect(new Set(taken).size).toBe(2)
  expect(taken).not.toContain(other.buffer)
})

test('two sources do not share memory', () => {
  const [one, other] = [reusedMemory(16), reusedMemory(32)]
  release(one())
  expect(other()).toHaveLength(32)
})
