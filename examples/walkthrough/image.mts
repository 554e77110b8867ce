// The last chapter: an image's layers come in as they come from `docker save`, a container's layer is made on top of them, and
// what the container did is told as `docker diff` tells it.
//
//   npm run demo -- --image FILE     an archive of `docker save` or of an OCI layout, instead of the one that is made here
import { createWriteStream } from 'node:fs'
import { appendFile, mkdir, rm, unlink, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { pipeline } from 'node:stream/promises'
import { GiB, MiB, ThinPool } from 'dm-thin'
import { LayerStore } from 'dm-thin/store'
import { bytes, Ledger, note } from './ledger.mjs'

const NAME = 'walkthrough.example/greeting:1'

export async function tellOfImages(folder: string, poolName: string, given: string | undefined): Promise<void> {
  const directory = path.join(folder, 'store')
  const pool = {
    name: `${poolName}-store`,
    data: { file: path.join(directory, 'data.img'), sizeBytes: 10 * GiB },
    metadata: { file: path.join(directory, 'metadata.img'), sizeBytes: 64 * MiB },
  }
  await mkdir(directory, { recursive: true })
  const store = await LayerStore.open({ directory, pool, sizeBytes: 1 * GiB })
  console.log('\nan image: its layers, and a container on top')
  try {
    const archive = given ?? (await makeImage(store, path.join(folder, 'greeting.tar')))
    const ledger = new Ledger([pool.data.file, pool.metadata.file])
    await ledger.follow(await ThinPool.open(store.poolName))
    ledger.heading()
    const image = await ledger.step('an image imported: each layer a snapshot of the one below', () =>
      store.importImage(archive),
    )
    for (const key of image.layers) {
      const { bytes: own } = await store.usage(key)
      note(`layer ${key.slice('sha256:'.length, 19)}… has ${bytes(own)} of its own`)
    }
    await ledger.step('the same image again: nothing to do', () => store.importImage(archive))
    await ledger.step('a container: a writable layer on the highest', () => store.prepare('container', image.top))
    await ledger.step('the container changes, adds and deletes a file', () =>
      store.withMounted('container', async root => {
        await mkdir(path.join(root, 'etc'), { recursive: true })
        await appendFile(path.join(root, 'etc/motd'), 'hello from the container\n')
        await writeFile(path.join(root, 'log'), 'started\n')
        if (given === undefined) await unlink(path.join(root, 'usr/share/old'))
      }),
    )
    for await (const { kind, path: where } of store.changes(image.top, 'container')) note(`${kind} ${where}`)
    await ledger.step('the container removed, and its blocks free again', async () => {
      await store.remove('container')
      await store.cleanup()
    })
  } finally {
    await store.takeDown()
    await rm(directory, { recursive: true, force: true })
  }
}

/** Two layers, packed as `docker load` reads them; what they were made of is removed again. */
async function makeImage(store: LayerStore, archive: string): Promise<string> {
  const add = async (key: string, parent: string, files: Readonly<Record<string, string>>) => {
    await store.prepare(`${key}-making`, parent)
    await store.withMounted(`${key}-making`, async root => {
      for (const [name, content] of Object.entries(files)) {
        await mkdir(path.dirname(path.join(root, name)), { recursive: true })
        await writeFile(path.join(root, name), content)
      }
    })
    await store.commit(key, `${key}-making`)
  }
  await add('lower', '', {
    'etc/motd': 'hello\n',
    'usr/share/words': 'words\n'.repeat(200_000),
    'usr/share/old': 'old\n',
  })
  await add('upper', 'lower', { 'etc/motd': 'hello from the image\n', 'usr/share/more': 'more\n'.repeat(100_000) })
  await pipeline(
    store.exportImage('upper', { name: NAME, config: { config: { Cmd: ['/bin/sh'] } } }),
    createWriteStream(archive),
  )
  await store.remove('upper')
  await store.remove('lower')
  await store.cleanup()
  return archive
}
