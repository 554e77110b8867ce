// A target that the library has no words for, defined here: `unstriped` shows one disk of a striped device. Its table
// is checked, its lines are read, and it stands in a stack beside the library's own.
import { truncate, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { LoopDevice, MiB, SECTOR_BYTES } from 'dm-thin'
import { defineTarget, MappedDevice, parseTableLine, striped, treeText, type Sized } from 'dm-thin/kernel'
import { inFolder } from '../scratch.mjs'

interface UnstripedTable extends Sized {
  readonly stripes: number
  readonly chunkSectors: number
  /** Which of them, from 0. */
  readonly stripe: number
  readonly device: string
}

// Documentation/admin-guide/device-mapper/unstriped.rst: <stripes> <chunk size> <stripe> <device> <offset>
const unstriped = defineTarget<UnstripedTable>({
  type: 'unstriped',
  options: ['stripes', 'chunkSectors', 'stripe', 'device'],
  format({ stripes, chunkSectors, stripe, device }) {
    if (!(stripe >= 0 && stripe < stripes)) throw new RangeError(`stripe ${stripe} is not one of ${stripes}`)
    return [stripes, chunkSectors, stripe, device, 0]
  },
  parseTable: line => ({
    stripes: line.number('stripes'),
    chunkSectors: line.number('chunk size'),
    stripe: line.number('stripe'),
    device: line.word('device'),
  }),
})

await inFolder('own-target', async folder => {
  const loops: LoopDevice[] = []
  const devices: MappedDevice[] = []
  try {
    for (const name of ['first.img', 'second.img']) {
      const file = path.join(folder, name)
      await writeFile(file, '')
      await truncate(file, MiB)
      loops.push(await LoopDevice.attach({ file }))
    }
    const stripes = loops.map(loop => ({ device: loop.path }))
    const lengthSectors = MiB / SECTOR_BYTES
    const whole = await MappedDevice.create({
      name: 'own-target-striped',
      table: [striped({ lengthSectors: 2 * lengthSectors, chunkSectors: 128, stripes })],
    })
    devices.push(whole)
    const second = await MappedDevice.create({
      name: 'own-target-second',
      table: [unstriped({ lengthSectors, stripes: 2, chunkSectors: 128, stripe: 1, device: whole.path })],
    })
    devices.push(second)

    const [line] = await second.table()
    console.log('read by our own words:', parseTableLine(line!, [unstriped]))
    console.log(treeText(await second.tree()))
  } finally {
    for (const device of devices.reverse()) await device.remove()
    for (const loop of loops) await loop.detach()
  }
})
