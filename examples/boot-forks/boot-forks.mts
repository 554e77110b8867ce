// Virtual machines whose root disks are snapshots of one image: three run at once, one is forked while it runs, one is
// reset. The blocks that their disks share become a picture.
//
//   node dist-examples/boot-forks/boot-forks.mjs uml /usr/bin/linux.uml FOLDER
//   node dist-examples/boot-forks/boot-forks.mjs qemu /boot/vmlinuz-6.12.57+deb13-cloud-amd64 FOLDER
import { mkdir, stat, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { ThinPool } from 'dm-thin'
import { LayerStore } from 'dm-thin/store'
import { Machine, type MachineOptions } from './machine.mjs'
import { makeRootImage } from './root-image.mjs'
import { draw, numbersOf, readDisks } from './shared-blocks.mjs'

const [kind, kernel, folder] = process.argv.slice(2)
if ((kind !== 'uml' && kind !== 'qemu') || kernel === undefined || folder === undefined)
  throw new Error('usage: boot-forks.mjs uml|qemu KERNEL FOLDER')

const machines: Machine[] = []
const boot = (name: string, device: string, task: MachineOptions['task'] = 'write'): Machine => {
  const machine = new Machine({ kind, kernel, folder, device, name, task })
  machines.push(machine)
  return machine
}

await mkdir(folder, { recursive: true })
const image = await makeRootImage(folder)
const directory = path.join(folder, 'store')
const store = await LayerStore.open({ directory })
try {
  await store.importRaw('base', image)
  const [one, two, three] = await Promise.all(['one', 'two', 'three'].map(key => store.prepare(key, 'base')))

  // Three at once. The second one writes until it is stopped.
  const first = boot('one', one!.device)
  const second = boot('two', two!.device, 'count')
  const third = boot('three', three!.device)
  for (const machine of [first, second, third]) {
    const found = await machine.line(/^found (.*)$/)
    console.log(`${await machine.line(/^wrote (.*)$/)}: found ${found}, and wrote`)
  }
  await Promise.all([first.off(), third.off()])

  // The fork of a disk that is being written.
  await second.line(/^counted (3)$/)
  const before = Number(second.last(/^counted (\d+)$/))
  const [fork] = (await store.fork('two', ['fork'], { name: 'two-while-it-runs' })).layers

  // The reset of a disk that was written.
  await store.reset('one')

  const [again, forked] = [boot('one', one!.device), boot('fork', fork!.device)]
  console.log(`one after the reset: found ${await again.line(/^found (.*)$/)}`)
  console.log(`fork: found ${await forked.line(/^found (.*)$/)}`)
  const [ahead, behind] = (await forked.line(/^counters (.*)$/)).split(' ').map(Number) as [number, number]
  console.log(`fork: at one point in time: ${[0, 1].includes(ahead - behind) && behind >= before}`)
  await second.line(new RegExp(`^counted (${ahead + 1})$`))
  console.log('two: counted on after it')
  await Promise.all([second.stop(), again.off(), forked.off()])

  // A view has the blocks of the layer that it shows.
  const base = await store.view('picture', 'base')
  const layers = [base, one!, two!, three!, fork!]
  const names = ['base', 'one', 'two', 'three', 'fork']
  const file = (name: string) => ({ file: path.join(directory, name) })
  const pool = await ThinPool.open({ name: store.poolName, data: file('data.img'), metadata: file('metadata.img') })
  const disks = await readDisks(pool, new Map(layers.map(({ device }, at) => [names[at]!, device])))
  for (const disk of disks) console.log(`${disk.name}: ${numbersOf(disk)}`)
  const blocks = (await stat(image)).size / pool.dataBlockBytes
  await writeFile(path.join(folder, 'shared-blocks.svg'), draw(disks, blocks))
} finally {
  await Promise.all(machines.map(machine => machine.stop()))
  await store.takeDown()
}
