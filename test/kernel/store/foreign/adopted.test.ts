// Pools of Docker's old driver. No Docker of today writes such records: they are written here as moby 24 wrote them, on
// volumes that are really there. containerd's own are in test/clients/adopt.test.ts.
// @udev both
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { AdoptedStore } from '../../../../lib/entry/store.js'
import { MiB, mount, type ThinPool, type ThinVolume, unmount } from '../../../../lib/entry/index.js'
import { expectCode } from '../../../helpers/errors/expect-code.js'
import { withPool } from '../../../helpers/pool/pools.js'
import { useScratch } from '../../../helpers/kernel/scratch.js'
import { run } from '../../../helpers/process/spawned.js'
import { dmCreate, dmInfo, dmRemove } from '../../../helpers/kernel/dmsetup.js'

const scratch = useScratch()
const SIZE = 32 * MiB
const LOWER = `sha256:${'1'.repeat(64)}`
const UPPER = `sha256:${'2'.repeat(64)}`

interface Docker {
  readonly directory: string
  volume(name: string, facts: object): void
  place(where: string, facts: Readonly<Record<string, string>>): void
}

function docker(): Docker {
  const root = scratch.path(scratch.name('docker'))
  const directory = path.join(root, 'devicemapper')
  mkdirSync(path.join(directory, 'metadata'), { recursive: true })
  const write = (folder: string, name: string, text: string) => {
    mkdirSync(folder, { recursive: true })
    writeFileSync(path.join(folder, name), text)
  }
  return {
    directory,
    volume: (name, facts) => write(path.join(directory, 'metadata'), name, JSON.stringify(facts)),
    place: (where, facts) => {
      const folder = path.join(root, 'image/devicemapper/layerdb', where)
      for (const [name, text] of Object.entries(facts)) write(folder, name, text)
    },
  }
}

/** Writes a file into a layer on top of another, and leaves it inactive. */
async function layer(origin: ThinVolume, file: string): Promise<ThinVolume> {
  const volume = await origin.snapshot({ activate: true })
  const target = scratch.path(scratch.name('made'))
  mkdirSync(target)
  await mount({ source: volume.path, target, type: 'ext4' })
  writeFileSync(path.join(target, file), Buffer.alloc(1 * MiB, 1))
  await unmount(target)
  await volume.deactivate()
  return volume
}

/** A base, two image layers, and a container with what Docker puts below it. */
async function withDocker(body: (pool: ThinPool, theirs: Docker, box: ThinVolume) => Promise<void>): Promise<void> {
  await withPool(async pool => {
    const base = await (await pool.createVolume({ sizeBytes: SIZE })).activate()
    run('mkfs.ext4', ['-q', base.path])
    await base.deactivate()
    const lower = await layer(base, 'lower')
    const upper = await layer(lower, 'upper')
    const init = await layer(upper, 'init')
    const box = await layer(init, 'own')
    await pool.setTransactionId({ currentId: 0n, newId: 5n })
    const theirs = docker()
    const facts = ({ id }: ThinVolume, transaction: number, initialized = false) => ({
      ...{ device_id: id, size: SIZE, transaction_id: transaction, initialized, deleted: false },
    })
    theirs.volume('base', facts(base, 1, true))
    theirs.volume('aaaa', facts(lower, 2))
    theirs.volume('bbbb', facts(upper, 3))
    theirs.volume('cccc-init', facts(init, 4))
    theirs.volume('cccc', facts(box, 5))
    theirs.volume('deviceset-metadata', { next_device_id: 5, BaseDeviceUUID: 'x', BaseDeviceFilesystem: 'ext4' })
    theirs.volume('transaction-metadata', { transaction_id: 5, device_hash: 'cccc', device_id: box.id })
    theirs.volume('.tmp123', {})
    theirs.place(`sha256/${'1'.repeat(64)}`, { 'cache-id': 'aaaa', diff: 'sha256:x' })
    theirs.place(`sha256/${'2'.repeat(64)}`, { 'cache-id': 'bbbb', parent: LOWER })
    theirs.place('mounts/box', { 'mount-id': 'cccc', 'init-id': 'cccc-init', parent: UPPER })
    await body(pool, theirs, box)
  })
}

test('contents() lists image layers, containers and init layers of Docker', () =>
  withDocker(async (pool, { directory }) => {
    await using adopted = await AdoptedStore.open({ directory, pool: pool.name })
    expect(adopted.program).toBe('docker')
    const { layers, unrecorded } = await adopted.contents()
    expect(unrecorded).toEqual([])
    expect(layers.map(({ key, parent, kind, state }) => [key, parent, kind, state])).toEqual([
      [LOWER, '', 'committed', 'whole'],
      ['base', '', 'base', 'whole'],
      [UPPER, LOWER, 'committed', 'whole'],
      ['box', 'box-init', 'active', 'whole'],
      ['box-init', UPPER, 'committed', 'whole'],
    ])
    const own = (await pool.usage()).map(({ exclusiveBlocks }) => exclusiveBlocks * pool.dataBlockBytes)
    for (const each of layers) expect(each.exclusiveBytes).toBe(own[each.thin])
    await adopted.withMounted('box-init', async root =>
      expect(readdirSync(root).sort()).toEqual(['init', 'lost+found', 'lower', 'upper']),
    )
    await adopted.withMounted('base', async root => expect(readdirSync(root)).toEqual(['lost+found']))
    await expectCode(
      adopted.withMounted('box', async () => {}),
      'DM_LAYER_STATE',
    )
    expect((await pool.volumes()).filter(({ active }) => active)).toEqual([])
  }))

test('contents() distinguishes unfinished, missing and unrecorded volumes', () =>
  withDocker(async (pool, theirs, box) => {
    theirs.volume('later', { device_id: 100, size: SIZE, transaction_id: 6, initialized: false })
    theirs.volume('going', { device_id: 101, size: SIZE, transaction_id: 2, initialized: false, deleted: true })
    theirs.volume('lost', { device_id: 102, size: SIZE, transaction_id: 2, initialized: false })
    const strange = await pool.createVolume({ sizeBytes: SIZE })
    const adopted = await AdoptedStore.open({ directory: theirs.directory, pool: { name: pool.name } })
    const { layers, unrecorded } = await adopted.contents()
    const found = Object.fromEntries(layers.map(({ key, kind, state }) => [key, [kind, state]]))
    expect(found).toMatchObject({
      later: ['unknown', 'unfinished'],
      going: ['unknown', 'unfinished'],
      lost: ['unknown', 'missing'],
      [UPPER]: ['committed', 'whole'],
    })
    expect(unrecorded).toEqual([strange.id])
    expect(box.active).toBe(false)
    await adopted.close()
  }))

test('a layer that its program has active is mounted from that device, which stays active', () =>
  withDocker(async (pool, { directory }) => {
    await using adopted = await AdoptedStore.open({ directory, pool: pool.name })
    const { layers } = await adopted.contents()
    const { thin } = layers.find(({ key }) => key === UPPER)!
    const name = scratch.name('docker-bbbb')
    dmCreate(name, `0 ${SIZE / 512} thin ${pool.path} ${thin}`)
    await adopted.withMounted(UPPER, async root => {
      expect(readFileSync(path.join(root, 'upper'))).toHaveLength(1 * MiB)
      expect(readFileSync('/proc/self/mounts', 'utf8')).toMatch(new RegExp(`${root} ext4 ro`))
    })
    expect(dmInfo(name)).toBeDefined()
    dmRemove(name)
  }))

test('concurrent mounts of a layer share one device, which the last of them removes', () =>
  withDocker(async (pool, { directory }) => {
    await using adopted = await AdoptedStore.open({ directory, pool: pool.name })
    await using other = await AdoptedStore.open({ directory, pool: pool.name })
    const { thin } = (await adopted.contents()).layers.find(({ key }) => key === UPPER)!
    const name = `${pool.name}-${thin}`
    const names = async (root: string) => {
      expect(dmInfo(name)).toMatchObject({ readOnly: true })
      return readdirSync(root).length
    }
    // Again and again: one's last may take the device away when another has just found it.
    for (let round = 0; round < 10; round += 1) {
      const both = [adopted, adopted, other].map(store => store.withMounted(UPPER, names))
      expect(await Promise.all(both)).toEqual([3, 3, 3])
      expect(dmInfo(name)).toBeUndefined()
    }
    await (await pool.volume(thin, { sizeBytes: SIZE })).activate({ readOnly: true })
    expect(await adopted.withMounted(UPPER, names)).toBe(3)
    expect(dmInfo(name)).toBeUndefined()
    // The body's own fault is the one that is told, though the device is in use by then.
    const why = new Error('enough')
    const target = scratch.path('held')
    mkdirSync(target)
    const failing = adopted.withMounted(UPPER, async () => {
      await mount({
        source: `/dev/dm-${dmInfo(name)!.number.split(':')[1]}`,
        target,
        type: 'ext4',
        readOnly: true,
        data: 'noload',
      })
      throw why
    })
    await expect(failing).rejects.toBe(why)
    await unmount(target)
    expect(await adopted.withMounted(UPPER, names)).toBe(3)
    expect(dmInfo(name)).toBeUndefined()
  }))

test('open() rejects missing or invalid records, and a missing pool', async () => {
  const empty = scratch.path('empty')
  mkdirSync(empty)
  await expectCode(AdoptedStore.open({ directory: empty }), 'DM_FILE_MISSING')
  await expectCode(AdoptedStore.open({ directory: '' }), 'DM_INVALID_ARGUMENT')
  const theirs = docker()
  theirs.volume('base', { device_id: 0, size: SIZE, transaction_id: 1, initialized: true })
  // The name that Docker gave to a pool of its own.
  const { dev, ino } = statSync(theirs.directory)
  const refused = await AdoptedStore.open({ directory: theirs.directory }).catch((fault: unknown) => fault)
  expect(refused).toMatchObject({ code: 'DM_NOT_FOUND', device: `docker-${dev >> 8}:${dev & 0xff}-${ino}-pool` })
  await withPool(async pool => {
    const adopted = await AdoptedStore.open({ directory: theirs.directory, pool: pool.name })
    for (const facts of [
      { device_id: -1, size: SIZE },
      { device_id: 2 ** 24, size: SIZE },
      { device_id: 1, size: 7 },
      [],
    ]) {
      theirs.volume('wrong', facts)
      await expectCode(adopted.contents(), 'DM_STORE_DATABASE')
    }
    await adopted.close()
  })
})
