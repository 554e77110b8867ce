// Processes that are killed while they save a backup: it is there whole or not at all, what they leave is garbage, and their
// lock is released.
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { ChunkDirectory, collectGarbage, readBackup, saveBackup } from '../../../lib/entry/transfer.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { collect } from '../../helpers/metadata/collect.js'
import { memoryVolume, streamTo, volumeOf } from '../../helpers/transfer/synthetic.js'

const scratch = useScratch()
const monday = memoryVolume([1, 2, 3, undefined, 5, 6], 5)
const tuesday = memoryVolume([1, 7, 3, 4, undefined, 8], 6)

const program = (folder: string, stream: string, body: string) => `
  const { ChunkDirectory, saveBackup } = require(${JSON.stringify(path.resolve('dist/entry/transfer.js'))})
  const fs = require('node:fs')
  const source = () => fs.createReadStream(${JSON.stringify(stream)})
  const run = async () => {
    const chunks = await ChunkDirectory.open(${JSON.stringify(folder)})
    ${body}
  }
  run().then(() => console.log('came to its end'), fault => console.log(fault))`

async function scene(name: string) {
  const folder = scratch.path(`${name}-chunks`)
  const stream = scratch.path(`${name}.stream`)
  const chunks = await ChunkDirectory.open(folder)
  await saveBackup(chunks, 'monday', streamTo(monday))
  writeFileSync(stream, Buffer.concat(await collect(streamTo(tuesday, monday))))
  return { folder, stream, chunks, kept: (await collect(chunks.digests())).length }
}

// Files are opened for the chunks and the page, for the manifest, and for the folders that are flushed.
test.each(['open', 'rename', 'link'].flatMap(call => Array.from({ length: 6 }, (_, at) => [call, at + 1] as const)))(
  'a process that is killed before %s %i of node:fs leaves the whole backup or none',
  async (call, nth) => {
    const { folder, stream, chunks, kept } = await scene(`${call}-${nth}`)
    const patch = `
      let left = ${nth}
      const promises = require('node:fs/promises')
      const original = promises.${call}
      promises.${call} = (...given) => {
        if (--left === 0) process.kill(process.pid, 'SIGKILL')
        return original(...given)
      }`
    const body = `await saveBackup(chunks, 'tuesday', source(), { base: 'monday' })`
    const { stdout, signal } = spawnSync(process.execPath, ['-e', patch + program(folder, stream, body)], {
      encoding: 'utf8',
    })
    // There are fewer calls: it has ended.
    if (signal === null) expect(stdout).toBe('came to its end\n')
    else expect(signal).toBe('SIGKILL')
    const names = (await collect(chunks.manifests.list())).sort()
    if (names.includes('tuesday')) expect(await volumeOf(await readBackup(chunks, 'tuesday'))).toEqual(tuesday.blocks)
    else {
      expect(signal).toBe('SIGKILL')
      expect(await collectGarbage(chunks)).toMatchObject({ kept })
      expect(await collect(chunks.digests())).toHaveLength(kept)
      await saveBackup(chunks, 'tuesday', streamTo(tuesday, monday), { base: 'monday' })
    }
    for (const [name, volume] of [
      ['monday', monday],
      ['tuesday', tuesday],
    ] as const) {
      expect(await volumeOf(await readBackup(chunks, name))).toEqual(volume.blocks)
    }
  },
)

test('garbage is collected when the process that saves a backup is killed, and not before', async () => {
  const { folder, stream, chunks, kept } = await scene('killed')
  const body = `
    const slow = async function* () {
      yield fs.readFileSync(${JSON.stringify(stream)}).subarray(0, -1)
      await new Promise(() => setInterval(() => {}, 1000))
    }
    const onProgress = ({ offsetBytes, sizeBytes }) => offsetBytes === sizeBytes && console.log('stored')
    await saveBackup(chunks, 'tuesday', slow(), { base: 'monday', onProgress })`
  const child = spawn(process.execPath, ['-e', program(folder, stream, body)], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [output] = (await once(child.stdout, 'data')) as [Buffer]
  expect(String(output)).toBe('stored\n')
  let isCollected = false
  const collecting = collectGarbage(chunks).finally(() => (isCollected = true))
  await new Promise(resolve => setTimeout(resolve, 100))
  expect(isCollected).toBe(false)
  expect((await collect(chunks.digests())).length).toBeGreaterThan(kept)
  child.kill('SIGKILL')
  expect(await collecting).toMatchObject({ kept })
  expect(await volumeOf(await readBackup(chunks, 'monday'))).toEqual(monday.blocks)
})
