// How results come back: what goes wrong with one of them stays with it. It needs no device mapper.
import { spawnSync } from 'node:child_process'
import path from 'node:path'
import { loadAddon } from '../../../lib/kernel/load-addon.js'

const addon = loadAddon() as Record<string, (...args: unknown[]) => Promise<unknown>>
const REQUEST = { name: 'never', uuid: 'never', table: [], readOnly: false, thinId: 0 }
const MANY = 64

test('a progress function that throws rejects its own call, and no other call', async () => {
  const fault = new Error('thrown by the test')
  let calls = 0
  const progress = () => {
    calls += 1
    throw fault
  }
  const batch = addon['activateMany']!(null, [REQUEST, REQUEST, REQUEST], 0, progress, 0)
  const others = Array.from({ length: MANY }, () => addon['noop']!(0))
  await expect(batch).rejects.toBe(fault)
  expect(await Promise.all(others)).toEqual(Array(MANY).fill(0))
  expect(calls).toBe(1)
  await expect(addon['activateMany']!(null, [REQUEST], 0, null, 0)).resolves.toHaveLength(1)
})

test('many calls resolve at once while setImmediate is mocked', () => {
  const source = `
    const addon = require(${JSON.stringify(path.join(__dirname, '../../helpers/native/load-addon.cjs'))}).loadAddon()
    require('node:test').mock.timers.enable({ apis: ['setImmediate'] })
    const calls = Array.from({ length: ${MANY} }, () => addon.deleteFile('/dev/null/never', 0).catch(() => 'refused'))
    Promise.all(calls).then(all => process.stdout.write(String(all.length)))`
  const { stdout, stderr, status } = spawnSync(process.execPath, ['-e', source], {
    encoding: 'utf8',
    timeout: 100_000,
    killSignal: 'SIGKILL',
    env: { ...process.env, NODE_NO_WARNINGS: '1' },
  })
  expect({ stdout, stderr, status }).toEqual({ stdout: String(MANY), stderr: '', status: 0 })
})
