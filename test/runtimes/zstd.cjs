// One process of test/runtimes/zstd.test.ts. Writes what came of it, as a line of JSON.
//   node zstd.cjs pack FILE TO               compresses a file; needs a Node with zstd
//   node zstd.cjs apply FILE FOLDER          unpacks a layer
//   node zstd.cjs import LAYOUT OPTIONS      imports an image into a store
'use strict'

const { createReadStream, readFileSync, writeFileSync } = require('node:fs')
const path = require('node:path')
const zlib = require('node:zlib')
const { applyTar, LayerStore } = require('../../dist/entry/store.js')

const [verb, first, second] = process.argv.slice(2)
const hasZstd = typeof zlib.createZstdDecompress === 'function'

const VERBS = {
  pack: async () => writeFileSync(second, zlib.zstdCompressSync(readFileSync(first))),
  apply: async () => {
    await applyTar(second, createReadStream(first))
    return readFileSync(path.join(second, 'content'), 'utf8')
  },
  import: async () => {
    const store = await LayerStore.open(JSON.parse(second))
    try {
      const { top } = await store.importImage(first)
      const text = await store.withMounted(top, async folder => readFileSync(path.join(folder, 'content'), 'utf8'))
      await store.remove(top)
      return text
    } finally {
      await store.close()
    }
  },
}

const say = outcome => process.stdout.write(JSON.stringify({ hasZstd, ...outcome }))
VERBS[verb]().then(
  text => say({ text }),
  ({ code, message }) => say({ code, message }),
)
