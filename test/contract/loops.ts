// Files and loop devices, as far as the library asks for them. native/block/loop.cc, backing_file.cc
import { LoopDevice, MiB } from '../../lib/entry/index.js'
import { errnoOf, line, withDevice, withLoops, type Case, type Machine } from './machine.js'

const options = ({ kernel }: Machine) => (kernel ? { kernel } : {})

export const LOOPS: readonly Case[] = [
  {
    title: 'createSparse creates a file once, and fails with EFBIG or ERANGE if the file is larger or smaller',
    run: async ({ port, path }) => {
      const file = path('sparse')
      expect(await port.createSparse(file, MiB)).toMatchObject({ created: true, sizeBytes: MiB, regular: true })
      expect(await port.createSparse(file, MiB)).toMatchObject({ created: false })
      expect([
        await errnoOf(port.createSparse(file, MiB / 2)),
        await errnoOf(port.createSparse(file, 2 * MiB)),
      ]).toEqual([27, 34])
      await port.deleteFile(file)
      expect(await errnoOf(port.identify(file))).toBe(2)
      await port.deleteFile(file)
    },
  },
  {
    title: 'growFile enlarges a file, and fails with ERANGE for a smaller size',
    run: async ({ port, path }) => {
      const file = path('grown')
      await port.createSparse(file, MiB)
      expect(await port.growFile(file, 2 * MiB)).toMatchObject({ sizeBytes: 2 * MiB })
      expect(await errnoOf(port.growFile(file, MiB))).toBe(34)
      expect(await errnoOf(port.growFile(path('none'), MiB))).toBe(2)
      await port.deleteFile(file)
    },
  },
  {
    title: 'an attached file is listed, and a second attach fails with EEXIST and DM_FILE_ATTACHED',
    run: machine =>
      withLoops(machine, [MiB], async ([number], [file]) => {
        const listed = (await LoopDevice.list(options(machine))).find(each => each.file === file)
        expect(listed?.info).toMatchObject({ sizeBytes: MiB, autoclear: true, readOnly: false, offsetBytes: 0 })
        expect(`7:${listed?.number}`).toBe(number)
        const fault: unknown = await machine.port.loopAttach({ file: file! }).catch((refusal: unknown) => refusal)
        expect(fault).toMatchObject({ code: 'DM_FILE_ATTACHED', errno: 17 })
      }),
  },
  {
    title: 'attach of a missing file rejects with DM_FILE_MISSING',
    run: async machine => {
      const call = LoopDevice.attach({ file: machine.path('none'), ...options(machine) })
      await expect(call).rejects.toMatchObject({ code: 'DM_FILE_MISSING', errno: 2 })
    },
  },
  {
    title: 'a loop device follows the size of its file after resize(), and has its offset and size limit',
    run: async machine => {
      const file = machine.path('file')
      await machine.port.createSparse(file, MiB)
      const loop = await LoopDevice.attach({ file, offsetBytes: 4096, ...options(machine) })
      expect(loop.info.sizeBytes).toBe(MiB - 4096)
      await machine.port.growFile(file, 2 * MiB)
      expect((await loop.refresh()).sizeBytes).toBe(MiB - 4096)
      expect(await loop.resize()).toBe(2 * MiB - 4096)
      await loop.detach()
      const part = await LoopDevice.attach({ file, offsetBytes: 4096, sizeLimitBytes: 8192, ...options(machine) })
      expect(part.info).toMatchObject({ sizeBytes: 8192, sizeLimitBytes: 8192, offsetBytes: 4096 })
      await part.detach()
      await machine.port.deleteFile(file)
    },
  },
  {
    title: 'an autoclear device is detached when its last holder closes it',
    run: async machine => {
      const file = machine.path('file')
      await machine.port.createSparse(file, MiB)
      const loop = await LoopDevice.attach({ file, autoclear: true, ...options(machine) })
      await withDevice(machine, async () => {
        await loop.close()
        expect(await machine.port.loopStatus(loop.number)).toMatchObject({ file })
      }, [line('linear', `7:${loop.number} 0`)])
      const isThere = async () => (await machine.port.loopList()).some(each => each.file === file)
      while (await isThere()) await new Promise(setImmediate)
      await machine.port.deleteFile(file)
    },
  },
  {
    title: 'a device that a table uses cannot be detached, nor be read exclusively',
    run: machine =>
      withLoops(machine, [MiB], async ([number]) => {
        const node = `/dev/loop${number!.slice(2)}`
        await machine.port.readBlocks(node, [0], 4096, true)
        await withDevice(machine, async () => {
          expect(await errnoOf(machine.port.readBlocks(node, [0], 4096, true))).toBe(16)
          await machine.port.readBlocks(node, [0], 4096, false)
        }, [line('linear', `${number} 0`)])
      }),
  },
  {
    title: 'blocks past the end are read as zeros, and the size is that of the device',
    run: machine =>
      withLoops(machine, [4096 + 512], async ([number]) => {
        const node = `/dev/loop${number!.slice(2)}`
        expect(await machine.port.blockSizeBytes(node)).toBe(4096 + 512)
        const [, second, third] = await machine.port.readBlocks(node, [0, 1, 9], 4096, false)
        expect([second!.length, third!.length, third![0]]).toEqual([4096, 4096, 0])
      }),
  },
  {
    title: 'a read-only device in use accepts another file of the same size, and no other file',
    run: async machine => {
      const files = ['first', 'second', 'small'].map(machine.path) as [string, string, string]
      const [first, second, small] = files
      for (const file of [first, second]) await machine.port.createSparse(file, MiB)
      await machine.port.createSparse(small, MiB / 2)
      const loop = await LoopDevice.attach({ file: first, readOnly: true, ...options(machine) })
      await withDevice(machine, async () => {
        await loop.changeFile(second)
        expect([loop.file, (await machine.port.loopStatus(loop.number)).file]).toEqual([second, second])
        expect(await errnoOf(machine.port.loopChangeFile(loop.number, small))).toBe(22)
        expect(await errnoOf(machine.port.loopChangeFile(loop.number, second))).toBe(0)
        expect(await errnoOf(machine.port.loopChangeFile(loop.number, machine.path('none')))).toBe(2)
      }, [line('linear', `7:${loop.number} 0`)])
      await loop.detach()
      const writable = await LoopDevice.attach({ file: first, ...options(machine) })
      expect(await errnoOf(machine.port.loopChangeFile(writable.number, second))).toBe(22)
      const third = await LoopDevice.attach({ file: second, readOnly: true, ...options(machine) })
      expect(await errnoOf(machine.port.loopChangeFile(third.number, first))).toBe(17)
      await third.detach()
      await writable.detach()
      for (const file of files) await machine.port.deleteFile(file)
    },
  },
  {
    title: 'loopSetDirectIo turns direct I/O on and off, and the status reports it',
    run: machine =>
      withLoops(machine, [MiB], async ([number]) => {
        const index = Number(number!.slice(2))
        for (const directIo of [true, false]) {
          expect(await machine.port.loopSetDirectIo(index, directIo)).toMatchObject({ directIo })
          expect(await machine.port.loopStatus(index)).toMatchObject({ directIo })
        }
      }),
  },
  {
    title: 'loopDetachAtLastClose reports whether the device is already detached',
    run: async machine => {
      const file = machine.path('file')
      await machine.port.createSparse(file, MiB)
      const held = await LoopDevice.attach({ file, ...options(machine) })
      await withDevice(machine, async () => {
        await held.close()
        expect(await machine.port.loopDetachAtLastClose(held.number)).toBe(false)
      }, [line('linear', `7:${held.number} 0`)])
      const isThere = async () => (await machine.port.loopList()).some(each => each.file === file)
      while (await isThere()) await new Promise(setImmediate)
      expect(await machine.port.loopDetachAtLastClose(held.number)).toBe(true)
      await machine.port.deleteFile(file)
    },
  },
]
