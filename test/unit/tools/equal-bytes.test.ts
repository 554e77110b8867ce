// How tests compare bytes: test/helpers/expect/equal-bytes.cjs.
test('bytes are equal to a copy, and to no other bytes', () => {
  const bytes = Buffer.from('one')
  expect({ bytes: [bytes] }).toEqual({ bytes: [Buffer.from('one')] })
  expect(bytes).toStrictEqual(Buffer.from('one'))
  expect({ bytes }).not.toEqual({ bytes: Buffer.from('two') })
  expect(bytes).not.toEqual(Buffer.from('one more'))
})

test('bytes of another type are compared as jest compares them', () => {
  const bytes = Buffer.from('one')
  expect(bytes).toEqual(new Uint8Array(bytes))
  expect(bytes).not.toStrictEqual(new Uint8Array(bytes))
  expect(bytes).not.toEqual('one')
  expect(new Uint16Array([1])).not.toEqual(new Uint16Array([2]))
})

test('a difference in large arrays of bytes is found', () => {
  const [one, other] = [Buffer.alloc(2 ** 22), Buffer.alloc(2 ** 22)]
  expect(one).toEqual(other)
  other[2 ** 22 - 1] = 1
  expect(one).not.toEqual(other)
})
