// The digest of a chunk: on threads of the library, and by crypto.subtle if Node exports no OpenSSL.
import { createHash, randomBytes } from 'node:crypto'
import { loadAddon } from '../../../lib/kernel/load-addon'
import { digestOf } from '../../../lib/transfer/chunk-digest'

const addon = loadAddon()
const { sha256 } = addon

afterEach(() => Object.assign(addon, { sha256 }))

test.each([
  ['with the OpenSSL of Node', sha256!],
  ['without OpenSSL', () => Promise.resolve(null)],
])('digestOf is that of node:crypto %s', async (_, native) => {
  let calls = 0
  addon['sha256'] = (...args) => {
    calls += 1
    return native(...args)
  }
  const chunks = [0, 1, 512, 2 ** 20].map(length => randomBytes(length))
  const expected = chunks.map(chunk => createHash('sha256').update(chunk).digest('hex'))
  const found = await Promise.all(chunks.map(chunk => digestOf(chunk)))
  expect(found.map(digest => Buffer.from(digest).toString('hex'))).toEqual(expected)
  expect(calls).toBe(chunks.length)
})
