// Files and loop devices, as far as the library asks for them. native/block/loop.cc, backing_file.cc
import { LoopDevice, MiB } from '../../lib/entry/index.js'
import { errnoOf, line, withDevice, withLoops, type Case, type Machine } from './machine.js'

const options = ({ kernel }: Machine) => (kernel ? { kernel } : {})

export const LOOPS: readonly Case[] = [
  {
    title: 'a sparse file is made once; another size is told apart: larger EFBIG, smaller ERANGE',
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
    title: 'files only grow',
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
    title: 'an attached file is listed, and refused a second time',
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
    title: 'a missing file is DM_FILE_MISSING',
    run: async machine => {
      const call = LoopDevice.attach({ file: machine.path('none'), ...options(machine) })
      await expect(call).rejects.toMatchObject({ code: 'DM_FILE_MISSING', errno: 2 })
    },
  },
  {
    title: 'the device follows its file when it is told, and shows an offset and a limit',
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
    title: 'an autoclear device goes with its last holder',
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
    title: 'a device that a table names cannot be detached, nor read alone',
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
    title: 'blocks behind the end read as zeros, and the size is the device’s',
    run: machine =>
      withLoops(machine, [4096 + 512], async ([number]) => {
        const node = `/dev/loop${number!.slice(2)}`
        expect(await machine.port.blockSizeBytes(node)).toBe(4096 + 512)
        const [, second, third] = await machine.port.readBlocks(node, [0, 1, 9], 4096, false)
        expect([second!.length, third!.length, third![0]]).toEqual([4096, 4096, 0])
      }),
  },
  {
    title: 'a read-only device takes another file of its size, under whoever has it open, and no other',
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
    title: 'direct I/O is turned on and off, and the status says which',
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
    title: 'a detach at the last close says whether the device is detached already',
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
