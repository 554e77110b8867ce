// A loop device that is found and then goes, or whose number becomes another file's, between the look and the holding.
import { MiB } from '../../../lib/entry/index.js'
import { memoryKernel } from '../../../lib/entry/testing.js'
import { Rollback } from '../../../lib/base/rollback.js'
import { portOf } from '../../../lib/kernel/native-port.js'
import type { KernelPort } from '../../../lib/kernel/port/kernel-port.js'
import { attachBacking, findSource } from '../../../lib/pool/lifecycle/backing.js'

async function machine(): Promise<{ port: KernelPort; file: string; detach: () => void; number: number }> {
  const port = portOf(memoryKernel())
  const file = '/data.img'
  await port.createSparse(file, MiB)
  const { number, held } = await port.loopAttach({ file, autoclear: true })
  return { port, file, number, detach: () => void port.release(held) }
}

/** What happens in between, once. */
function withEvent(port: KernelPort, event: () => Promise<void> | void): KernelPort {
  let pending = true
  const loopHold: KernelPort['loopHold'] = async (number, signal) => {
    if (pending) await event()
    pending = false
    return port.loopHold(number, signal)
  }
  return new Proxy(port, {
    get: (target, key) => (key === 'loopHold' ? loopHold : (Reflect.get(target, key) as unknown)),
  })
}

async function attach(port: KernelPort, file: string) {
  const source = await findSource(port, 'data', { file }, new Rollback(), false)
  return attachBacking(port, source, new Rollback(), false)
}

test('an existing loop device of the file is reused', async () => {
  const { port, file, number } = await machine()
  const backing = await attach(port, file)
  expect(backing).toMatchObject({ path: `/dev/loop${number}`, sizeBytes: MiB })
})

test('a loop device that vanishes during the call is attached again', async () => {
  const { port, file, detach } = await machine()
  const backing = await attach(withEvent(port, detach), file)
  expect(await port.loopList()).toMatchObject([{ file, autoclear: true }])
  await port.release(backing.held!)
  expect(await port.loopList()).toEqual([])
})

test('a loop device whose number is given to another file is left alone', async () => {
  const { port, file, detach, number } = await machine()
  await port.createSparse('/other.img', 2 * MiB)
  const other = withEvent(port, async () => {
    detach()
    expect((await port.loopAttach({ file: '/other.img' })).number).toBe(number)
  })
  const backing = await attach(other, file)
  expect(backing.path).not.toBe(`/dev/loop${number}`)
  expect(await port.loopList()).toMatchObject([{ file: '/other.img' }, { file }])
})
