// What the store mounts for itself: nobody else sees it, nothing of it outlives the process, and where the kernel has no
// detached mounts it is mounted in a folder.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { LayerStore } from '../../../lib/entry/store.js'
import { archive } from '../../helpers/tree/archives.js'
import { endStore, storeFiles, withStore } from '../../helpers/store/stores.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { dmInfo, dmResume, dmSuspend } from '../../helpers/kernel/dmsetup.js'

useScratch()

const ARCHIVE = archive({ name: 'etc/', type: '5' }, { name: 'etc/motd', content: 'hello'.repeat(100_000) })

/** In which mount namespaces the device is mounted, by any process. */
function mountsOf(device: string): string[] {
  const minor = device.replace('/dev/dm-', '')
  const processes = readdirSync('/proc').filter(name => /^\d+$/.test(name))
  const tables = processes.flatMap(id => {
    try {
      return [readFileSync(`/proc/${id}/mountinfo`, 'utf8')]
    } catch {
      return [] // gone meanwhile
    }
  })
  return tables.flatMap(text => text.split('\n').filter(line => new RegExp(` \\d+:${minor} / `).test(line)))
}

/** The archive in two pieces; between them `body` runs. */
async function* halted(body: () => void): AsyncGenerator<Uint8Array> {
  yield await Promise.resolve(ARCHIVE.subarray(0, 100_000))
  body()
  yield ARCHIVE.subarray(100_000)
}

test('applyLayer uses a mount that no namespace shows, and the device is in use', () =>
  withStore({}, async (store, { poolName }) => {
    const { mounts } = await store.prepare('a')
    const device = mounts[0]!.source
    const seen: unknown[] = []
    const openCount = () => dmInfo(`${poolName}-1`)!.openCount // 0 is the base
    await store.applyLayer(
      'a',
      halted(() => seen.push(mountsOf(device), openCount())),
    )
    expect(seen).toEqual([[], 1])
    expect(openCount()).toBe(0)
    await store.withMounted('a', async folder => {
      expect(mountsOf(device)).not.toEqual([])
      expect(readFileSync(path.join(folder, 'etc/motd'), 'utf8')).toBe('hello'.repeat(100_000))
    })
  }))

test.each(['withMounted', 'applyLayer'] as const)('%s waits while the device of the layer is suspended', call =>
  withStore({}, async (store, { poolName }) => {
    await store.prepare('a')
    const device = `${poolName}-1` // 0 is the base
    dmSuspend(device)
    const mounted = call === 'withMounted' ? store.withMounted('a', async () => 'mounted') : applied(store)
    let over = false
    const outcome = mounted.finally(() => (over = true))
    outcome.catch(() => {})
    await sleep(100)
    expect(over).toBe(false)
    dmResume(device)
    expect(await outcome).toBe('mounted')
  }),
)

const applied = async (store: LayerStore) => {
  await store.applyLayer('a', Readable.from([ARCHIVE]))
  return 'mounted'
}

test('a comparison of layers uses no visible mount', () =>
  withStore({}, async store => {
    await store.prepare('a')
    await store.applyLayer(
      'a',
      halted(() => {}),
    )
    await store.commit('layer', 'a')
    await store.prepare('b', 'layer')
    const before = readFileSync('/proc/self/mountinfo', 'utf8')
    const found: string[] = []
    for await (const change of store.changes('', 'layer')) {
      found.push(change.path)
      expect(readFileSync('/proc/self/mountinfo', 'utf8')).toBe(before)
    }
    expect(found).toEqual(expect.arrayContaining(['/etc/motd']))
  }))

test('a process that is killed in applyLayer leaves no mount, and its device can be removed at once', async () => {
  const files = storeFiles()
  const store = await LayerStore.open(files.options)
  const { mounts } = await store.prepare('a')
  await store.close()
  const library = path.join(__dirname, '../../../dist/entry/store.js')
  const source = `
    const { LayerStore } = require(${JSON.stringify(library)})
    async function* stream() {
      yield Buffer.from(${JSON.stringify(ARCHIVE.subarray(0, 50_000).toString('base64'))}, 'base64')
      console.log('unpacking')
      await new Promise(() => setInterval(() => {}, 1000))
    }
    LayerStore.open(${JSON.stringify(files.options)}).then(store => store.applyLayer('a', stream()))`
  const child = spawn(process.execPath, ['-e', source], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(child.stdout, 'data')
  child.kill('SIGKILL')
  await once(child, 'exit')
  expect(mountsOf(mounts[0]!.source)).toEqual([])
  const again = await LayerStore.open(files.options)
  expect(again.findings.filter(({ kind }) => kind === 'left-mounted')).toEqual([])
  await again.remove('a')
  expect(await again.cleanup()).toEqual([])
  await again.close()
  await endStore(files)
})
