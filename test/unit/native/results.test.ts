// The objects that calls resolve to and reject with, of the threads of each environment. It needs no device mapper.
import { spawnSync } from 'node:child_process'
import { statSync } from 'node:fs'
import path from 'node:path'
import { Worker } from 'node:worker_threads'
import { loadAddon } from '../../../lib/kernel/load-addon.js'

const addon = loadAddon() as Record<string, (...args: unknown[]) => Promise<unknown>>
const built = path.join(__dirname, '../../helpers/native/load-addon.cjs')
const asIdentified = {
  device: expect.any(Number) as number,
  inode: statSync(__filename, { bigint: true }).ino,
  sizeBytes: statSync(__filename).size,
  allocatedBytes: statSync(__filename).blocks * 512,
  regular: true,
  blockDevice: false,
  targetDevice: 0,
}
const asFailed = {
  operation: 'unlink',
  errno: 20,
  device: '/dev/null/never',
  detail: '',
  kernelReason: '',
  cancelled: false,
  tries: 1,
  rollback: [],
}

test('each field of a result and of a failure has its value', async () => {
  const [found, refused] = await Promise.allSettled([
    addon['identify']!(__filename, 0),
    addon['deleteFile']!('/dev/null/never', 0),
  ])
  expect(found).toEqual({ status: 'fulfilled', value: asIdentified })
  expect(refused).toEqual({ status: 'rejected', reason: asFailed })
})

test('each of several workers gets results of its own environment', async () => {
  const source = `
    const { parentPort } = require('node:worker_threads')
    const addon = require(${JSON.stringify(built)}).loadAddon()
    addon.identify(${JSON.stringify(__filename)}, 0).then(result => {
      parentPort.postMessage([result, Object.getPrototypeOf(result) === Object.prototype])
    })`
  for (let round = 0; round < 2; round++) {
    const worker = new Worker(source, { eval: true })
    const answer = await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject))
    expect(answer).toEqual([asIdentified, true])
    await worker.terminate()
  }
})

test('results are the same in a process that makes no code from strings', () => {
  const source = `
    const addon = require(${JSON.stringify(built)}).loadAddon()
    addon.deleteFile('/dev/null/never', 0).catch(failure => process.stdout.write(JSON.stringify(failure)))`
  const { stdout, stderr } = spawnSync(process.execPath, ['--disallow-code-generation-from-strings', '-e', source], {
    encoding: 'utf8',
    timeout: 100_000,
    killSignal: 'SIGKILL',
  })
  expect(stderr).toBe('')
  expect(JSON.parse(stdout)).toEqual(asFailed)
})
