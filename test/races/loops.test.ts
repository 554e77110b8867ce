// Scenario                                                  Test
// C  GET_FREE races, retried                                concurrent attaches by two …; 128 devices that two …
// C  free numbers without races, from two processes         128 devices that two …
import { execFile } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { promisify } from 'node:util'
import { KiB, LoopDevice } from '../../lib/entry/index.js'
import { pattern, readAt } from '../helpers/kernel/blocks.js'
import { runChild } from '../helpers/process/children.js'
import { markedLoops } from '../helpers/kernel/kernel-state.js'
import { useScratch } from '../helpers/kernel/scratch.js'

const scratch = useScratch()
let made = 0

function image(): string {
  const file = scratch.path(`race-${++made}`)
  writeFileSync(file, pattern(made, 4 * KiB))
  return file
}

/** Attaches 64 files at once, and gives the numbers. */
const attachAll = (files: readonly string[]) => `
  const files = ${JSON.stringify(files)}
  const devices = await Promise.all(files.map(file => dmThin.LoopDevice.attach({ file, reference: 'kept' })))
  return devices.map(device => device.number)`

test('concurrent attaches by two processes each get a device of their own', async () => {
  const files = Array.from({ length: 24 }, () => image())
  const others = Promise.all(
    files.slice(0, 8).map(file => promisify(execFile)('losetup', ['--find', '--show', `${file}`])),
  )
  const devices = await Promise.all(files.slice(8).map(file => LoopDevice.attach({ file })))
  await others
  expect(new Set(markedLoops().map(loop => loop.name)).size).toBe(24)
  for (const device of devices) {
    expect((await readAt(device.path, 0, 4 * KiB)).equals(readFileSync(device.file))).toBe(true)
  }
  for (const device of await LoopDevice.list()) if (files.includes(device.file)) await device.detach()
})

test('128 devices that two processes attach concurrently each have a number and a file of their own', async () => {
  const files = Array.from({ length: 128 }, () => image())
  const halves = [files.slice(0, 64), files.slice(64)]
  const outcomes = (await Promise.all(halves.map(half => runChild(attachAll(half))))) as { value: number[] }[]
  const numbers = outcomes.flatMap(outcome => outcome.value)
  expect(new Set(numbers).size).toBe(128)
  const attached = new Map(markedLoops().map(loop => [loop.file, loop.name]))
  expect(files.map(file => attached.get(file))).toEqual(numbers.map(number => `/dev/loop${number}`))
  const listed = (await LoopDevice.list()).filter(each => files.includes(each.file))
  expect(listed.map(each => each.info.reference)).toEqual(listed.map(() => 'kept'))
  const [one] = listed
  expect((await readAt(one!.path, 0, 4 * KiB)).equals(readFileSync(one!.file))).toBe(true)
  await Promise.all(listed.map(device => device.detach({ timeoutMs: 60_000 })))
  expect(markedLoops()).toEqual([])
})
