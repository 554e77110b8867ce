// The discards of a removed layer: of its device, and while nobody suspends it. A process that is killed between the suspend
// of a device and its resume never ends if another of its threads waits for that device.
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { readFileSync } from 'node:fs'
import { BlockDevice, MiB } from '../../../lib/entry/index.js'
import { type CallMessage, DeviceMapper } from '../../../lib/entry/kernel.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { thinIdsBy, withStore } from '../../helpers/store/stores.js'

useScratch()

/** Returns true if a shared lock of this byte of a file is held. */
const isReadLocked = (byte: number): boolean =>
  readFileSync('/proc/locks', 'utf8')
    .split('\n')
    .some(line => /OFDLCK +ADVISORY +READ /.test(line) && line.endsWith(` ${byte} ${byte}`))

test('the removal of a layer discards its blocks while the thin id is locked', async () => {
  await withStore({ discard: true }, async (store, { poolName }) => {
    const layer = await store.prepare('layer', '', { raw: true, sizeBytes: 16 * MiB })
    const thin = Math.max(...thinIdsBy(poolName)) // of the layer; the other one is of the base
    {
      await using device = await BlockDevice.open(layer.device)
      await device.write(0, Buffer.alloc(MiB, 'x'))
    }
    const locked: boolean[] = []
    const listen = (message: unknown) => {
      if ((message as CallMessage).call === 'blockErase') locked.push(isReadLocked(thin))
    }
    subscribe('tracing:dm-thin:call:start', listen)
    await store.remove('layer')
    await store.cleanup().finally(() => unsubscribe('tracing:dm-thin:call:start', listen))
    expect(locked).toEqual([true])
    expect(isReadLocked(thin)).toBe(false)
  })
})

test('the removal of a layer resumes a device that a killed process left suspended, before it discards its blocks', async () => {
  await withStore({ discard: true }, async (store, { poolName }) => {
    await store.prepare('layer', '', { raw: true, sizeBytes: 16 * MiB })
    const thins = thinIdsBy(poolName)
    const mapper = await DeviceMapper.open()
    await mapper.suspend(`${poolName}-${Math.max(...thins)}`, { noflush: true })
    await store.remove('layer')
    await store.cleanup()
    expect(thinIdsBy(poolName)).toHaveLength(thins.length - 1)
  })
})
