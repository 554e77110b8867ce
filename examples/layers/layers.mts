// Image layers, from the first to the last: written, committed, used as parents, looked at, pruned.
import { readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { MiB } from 'dm-thin'
import { LayerStore } from 'dm-thin/store'
import { inFolder } from '../scratch.mjs'

await inFolder('layers', async directory => {
  const store = await LayerStore.open({ directory, sizeBytes: 64 * MiB }) // its pool is two sparse files there
  const write = (key: string, name: string, text: string) =>
    store.withMounted(key, folder => writeFile(path.join(folder, name), text))
  const read = (key: string, name: string) =>
    store.withMounted(key, folder => readFile(path.join(folder, name), 'utf8'))

  await store.prepare('building') // on an empty file system
  await write('building', 'motd', 'hello from the base')
  await store.commit('base', 'building')

  await Promise.all(['one', 'two'].map(key => store.prepare(key, 'base'))) // two children, no bytes copied
  await write('one', 'motd', 'changed in one')
  console.log(`one: ${await read('one', 'motd')}`)
  console.log(`two: ${await read('two', 'motd')}`)

  const view = await store.view('look', 'base') // read-only
  console.log(`base: ${await read(view.key, 'motd')}; its view has the options ${view.mounts[0]!.options.join()}`)
  const [one, two] = await Promise.all(['one', 'two'].map(key => store.usage(key)))
  console.log(`one has more of its own than two: ${one!.bytes > two!.bytes}`)

  console.log(`not needed while it is their parent: ${(await store.prune({ dryRun: true })).length} layers`)
  for (const key of ['one', 'two', 'look']) await store.remove(key)
  console.log(`pruned: ${(await store.prune()).map(({ key }) => key).join()}`)

  console.log(`taken down with ${(await store.takeDown()).loops.length} loop devices`)
})
