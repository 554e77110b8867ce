// Scenario                                                  Test
// C  a minor chosen, free ones without races                attach() creates and uses the requested …; races/loops.test.ts
// C  LO_FLAGS_PARTSCAN                                      partitionScan makes devices of the …
// M  LOOP_CHANGE_FD, LOOP_SET_DIRECT_IO                     changeFile() accepts a file …; setDirectIo() turns direct …
// M  LOOP_CLR_FD with an opener                             a lazy detach() of an open …
// M  leftovers of a killed process                          devices of a killed process are …
// @udev both
import { closeSync, existsSync, openSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { BlockDevice, KiB, LoopDevice, MiB } from '../../../lib/entry/index.js'
import { pattern, readAt } from '../../helpers/kernel/blocks.js'
import { startChild } from '../../helpers/process/children.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { markedLoops } from '../../helpers/kernel/kernel-state.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { run, tryRun } from '../../helpers/process/spawned.js'

const scratch = useScratch()
let made = 0

function image(bytes = MiB): string {
  const file = scratch.path(`control-${++made}`)
  writeFileSync(file, pattern(made, bytes))
  return file
}

/** A number that no loop device has: far above those that the kernel makes by itself. */
const FREE_NUMBER = 4711

test('attach() creates and uses the requested number, and rejects with DM_BUSY if it is in use', async () => {
  expect(existsSync(`/dev/loop${FREE_NUMBER}`)).toBe(false)
  const file = image()
  const device = await LoopDevice.attach({ file, number: FREE_NUMBER })
  expect(device.path).toBe(`/dev/loop${FREE_NUMBER}`)
  expect(markedLoops()).toEqual([expect.objectContaining({ name: device.path, file })])
  const other = image()
  const busy = await expectCode(LoopDevice.attach({ file: other, number: FREE_NUMBER }), 'DM_BUSY')
  expect(busy.message).toContain(device.path)
  await device.detach()
  const again = await LoopDevice.attach({ file: other, number: FREE_NUMBER })
  expect(again.number).toBe(FREE_NUMBER)
  await again.detach()
})

test('a failed attach() removes the number that it created', async () => {
  const number = FREE_NUMBER + 1
  const fault = await LoopDevice.attach({ file: image(), number, blockSizeBytes: 1536 }).catch(
    (reason: unknown) => reason,
  )
  expect(fault).toMatchObject({
    errno: 22,
    rollback: expect.arrayContaining([
      { operation: 'LOOP_CTL_REMOVE', device: `/dev/loop${number}`, errno: 0 },
    ]) as unknown,
  })
  expect(existsSync(`/sys/block/loop${number}`)).toBe(false)
})

test('partitionScan makes devices of the partitions in the file, also of those that are written later', async () => {
  const file = scratch.path('partitioned')
  writeFileSync(file, '')
  truncateSync(file, 8 * MiB)
  const device = await LoopDevice.attach({ file, partitionScan: true })
  expect(device.info.partitionScan).toBe(true)
  expect(run('losetup', ['--noheadings', '--output', 'PARTSCAN', device.path]).trim()).toBe('1')
  expect(existsSync(`${device.path}p1`)).toBe(false)
  const table = Buffer.alloc(512)
  table.writeUInt8(0x83, 446 + 4)
  table.writeUInt32LE(2048, 446 + 8) // from the second MiB
  table.writeUInt32LE(4096, 446 + 12) // 2 MiB
  table.writeUInt16LE(0xaa55, 510)
  const disk = await BlockDevice.open(device.path)
  await disk.write(0, table)
  await disk.rereadPartitions()
  await disk.close()
  tryRun('udevadm', ['settle'])
  expect(run('blockdev', ['--getsize64', `${device.path}p1`]).trim()).toBe(String(2 * MiB))
  await device.detach()
  expect(existsSync(`${device.path}p1`)).toBe(false)
})

test('changeFile() accepts a file of the same size for a read-only device in use, and rejects others', async () => {
  const [first, second, small] = [image(), image(), image(64 * KiB)]
  const device = await LoopDevice.attach({ file: first, readOnly: true })
  const fd = openSync(device.path, 'r')
  await device.changeFile(second)
  closeSync(fd)
  expect(device.file).toBe(second)
  expect(markedLoops()).toEqual([expect.objectContaining({ name: device.path, file: second })])
  expect((await readAt(device.path, 0, MiB)).equals(readFileSync(second))).toBe(true)
  await expectCode(device.changeFile(small), 'DM_INVALID_ARGUMENT')
  await expectCode(device.changeFile(scratch.path('none')), 'DM_FILE_MISSING')
  const writable = await LoopDevice.attach({ file: first })
  await expectCode(writable.changeFile(small), 'DM_INVALID_ARGUMENT')
  await expectCode(device.changeFile(first), 'DM_FILE_ATTACHED')
  expect(
    markedLoops()
      .map(loop => loop.file)
      .sort(),
  ).toEqual([first, second].sort())
  await Promise.all([device.detach(), writable.detach()])
})

test('setDirectIo() turns direct I/O on and off while the device is in use, and a read-only device follows its file', async () => {
  const file = image()
  const device = await LoopDevice.attach({ file, readOnly: true })
  const fd = openSync(device.path, 'r')
  const losetupSays = () => run('losetup', ['--noheadings', '--output', 'DIO', device.path]).trim() === '1'
  for (const on of [true, false]) {
    await device.setDirectIo(on)
    expect([device.info.directIo, losetupSays()]).toEqual([on, on])
  }
  await expectCode(device.setDirectIo('yes' as never), 'DM_INVALID_ARGUMENT')
  truncateSync(file, 2 * MiB)
  expect(await device.resize()).toBe(2 * MiB)
  closeSync(fd)
  await device.detach()
})

test('a lazy detach() of an open device completes at the last close, and that of an unused device at once', async () => {
  const device = await LoopDevice.attach({ file: image() })
  const fd = openSync(device.path, 'r')
  await device.detach({ lazy: true })
  expect(markedLoops()).toHaveLength(1)
  closeSync(fd)
  tryRun('udevadm', ['settle'])
  await device.detach()
  expect(markedLoops()).toEqual([])
  const unused = await LoopDevice.attach({ file: image() })
  await unused.detach({ lazy: true })
  tryRun('udevadm', ['settle']) // which may have it open for a look: the device goes when that is over
  expect(markedLoops()).toEqual([])
})

test('devices of a killed process are found, except those that are in use, handed over, or of a running process', async () => {
  const [left, used, given, own, cleared] = [image(), image(), image(), image(), image()]
  const mine = await LoopDevice.attach({ file: own })
  const child = startChild(`
    const attach = options => dmThin.LoopDevice.attach(options)
    const devices = [await attach({ file: ${JSON.stringify(left)} }), await attach({ file: ${JSON.stringify(used)} }),
      await attach({ file: ${JSON.stringify(given)}, reference: 'for another' }),
      await attach({ file: ${JSON.stringify(cleared)}, autoclear: true })]
    console.log('attached')
    await new Promise(resolve => setTimeout(resolve, 600_000))`)
  await child.saw('attached')
  const loopOf = (file: string) => markedLoops().find(loop => loop.file === file)
  const fd = openSync(loopOf(used)!.name, 'r')
  expect(await LoopDevice.findLeaked()).toEqual([])
  child.process.kill('SIGKILL')
  await expect(child.result).rejects.toThrow('SIGKILL')
  tryRun('udevadm', ['settle'])
  const leaked = await LoopDevice.findLeaked()
  expect(leaked.map(device => device.file)).toEqual([left])
  expect(leaked[0]!.path).toBe(loopOf(left)!.name)
  closeSync(fd)
  expect((await LoopDevice.findLeaked()).map(device => device.file).sort()).toEqual([left, used].sort())
  for (const device of await LoopDevice.findLeaked()) await device.detach()
  expect(loopOf(cleared)).toBeUndefined()
  await (await LoopDevice.list()).find(device => device.file === given)!.detach()
  await mine.detach()
})
