// Runs the programs of a page as a reader would, from its top to its bottom, with what the page takes for granted before
// them. The pages name folders such as /var/lib, so this happens in a guest alone.
import { randomUUID } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import type { Scratch } from '../kernel/scratch.js'
import { run, tryRun } from '../process/spawned.js'
import { DAMAGE } from '../metadata/damage.js'
import { isForContainerd, pages, programs, writePrograms } from './code.js'

const root = path.join(__dirname, '../../..')
const MiB = 2 ** 20

/** Node 22 and 24 warn that SQLite is experimental. */
const ENVIRONMENT = ['NODE_NO_WARNINGS=1']

/** The folders that the pages name. They exist in the guest alone, and only while a page runs. */
const FOLDERS = ['/var/lib/images', '/mnt/a', '/srv/data', '/srv/view', '/backup', '/run/web-1']
const LEFT = [
  ...FOLDERS,
  '/var/lib/layers',
  '/var/lib/sandboxes',
  '/var/lib/clones',
  '/srv/clone-ann',
  '/dev/sdx',
  '/dev/sdx1',
]
/** Within the package, whose name the programs import. All guests see this tree. */
const PROGRAMS = path.join(root, '.cache/docs-code', `guest-${randomUUID()}`)
const STORES = ['/var/lib/dm-thin', '/var/lib/dm-thin-drill']

function fileOf(name: string, bytes: number): string {
  const file = `/var/lib/images/${name}`
  writeFileSync(file, '')
  truncateSync(file, bytes)
  return file
}

/** Attaches files to the first loop devices, which the pages call 7:0, 7:1 and so on. */
function loops(count: number): void {
  for (let number = 0; number < count; number++)
    run('losetup', [`/dev/loop${number}`, fileOf(`loop-${number}`, 8 * MiB)])
}

/** Runs a program that makes what a page takes for granted. */
function prepare(name: string, code: string): void {
  const file = path.join(PROGRAMS, `before-${name}.mjs`)
  mkdirSync(path.dirname(file), { recursive: true })
  writeFileSync(file, code)
  run(process.execPath, [file])
}

const pool = (options = '') => `
  import { GiB, MiB, ThinPool } from 'dm-thin'
  const pool = await ThinPool.create({
    name: 'images',
    data: { file: '/var/lib/images/data.img', sizeBytes: 10 * GiB },
    metadata: { file: '/var/lib/images/metadata.img', sizeBytes: 32 * MiB },
    ${options}
  })
`
const volumeOf = (options = '') => `${pool(options)}
  const volume = await pool.createVolume({ sizeBytes: 256 * MiB })
  await volume.activate()
`
const volume = volumeOf()
/** All of its data is below the low-water mark. */
const LOW = 'lowWaterMarkBlocks: 10 * GiB / (64 * 1024),'
const pools = `${volume}
  await ThinPool.create({
    name: 'copies',
    data: { file: '/var/lib/images/copies.img', sizeBytes: 1 * GiB },
    metadata: { file: '/var/lib/images/copies-metadata.img', sizeBytes: 8 * MiB },
    record: '/backup/copies.json',
  })
`
const recorded = `${pool("record: '/backup/images.json',")}
  await pool.createVolume({ sizeBytes: 256 * MiB })
`
const changed = `${volume}
  import { writeFile } from 'node:fs/promises'
  await writeFile(volume.path, 'monday')
  await volume.snapshot()
  await writeFile(volume.path, 'tuesday')
`
const store = `
  import { writeFile } from 'node:fs/promises'
  import { LayerStore } from 'dm-thin/store'
  const store = await LayerStore.open({ directory: '/var/lib/dm-thin', sizeBytes: 64 * 2 ** 20 })
  await store.prepare('making')
  await store.withMounted('making', folder => writeFile(folder + '/hello', 'hello'))
  await store.commit('made', 'making')
  await store.close()
`

/** Pages that begin with something that a reader has: what it is, and what comes before one of their programs. */
const BEFORE: Record<string, () => void> = {
  'block-devices': () => {
    prepare('volume', volume)
    run('losetup', ['/dev/loop7', fileOf('disk', 8 * MiB)])
    symlinkSync('/dev/loop7', '/dev/sdx')
    fileOf('disk.img', 8 * MiB)
  },
  bookmarks: () => prepare('changed', changed),
  'changed-blocks': () => prepare('changed', changed),
  containerd: () => prepare('store', store),
  'crash-safety': () => prepare('pool', pool()),
  errors: () => prepare('volume', volume),
  kernel: () => {
    loops(6)
    const parts = '0 2048 snapshot 7:4 7:5 P 16'
    run('dmsetup', ['create', 'monday', '--table', parts])
  },
  monitoring: () => prepare('low', volumeOf(LOW)),
  repair: () => {
    prepare('pool', `${pool()}\n  await pool.createVolume({ sizeBytes: MiB })\n  await pool.remove()`)
    DAMAGE.bitmap('/var/lib/images/metadata.img')
  },
  'recipe-sandbox': () => fileOf('golden.img', 8 * MiB),
  'snapshot-metadata': () => prepare('recorded', recorded),
  space: () => prepare('low', pool(LOW)),
  store: () => fileOf('debian.img', 8 * MiB),
  threads: () => prepare('volume', volume),
  transfer: () => prepare('pools', pools),
  udev: () => {
    prepare('pool', pool())
    for (const name of ['first', 'second']) {
      run('dmsetup', ['create', name, '--notable'])
      run('dmsetup', ['load', name, '--table', '0 2048 zero'])
    }
  },
  'volumes-and-snapshots': () => {
    prepare('pool', pool())
    fileOf('golden.img', 8 * MiB)
  },
}
/** Between the programs of a page, by the number of the next one, from 0. */
const BETWEEN: Record<string, Record<number, () => void>> = {
  'block-devices': {
    6: () => {
      run('mkfs.ext4', ['-q', '-F', deviceOf('images-0')])
      symlinkSync(deviceOf('images-0'), '/dev/sdx1')
    },
    8: () => run('mount', [deviceOf('images-0'), '/mnt/a']),
  },
}

/** What the programs of a page print, where the page says it or where that shows that they did what they are for. */
const PRINTS: Record<string, readonly RegExp[]> = {
  README: [/^first-lines-1 \/dev\/dm-\d+ /m, /source: '\/dev\/dm-\d+'/],
  'block-devices': [/^x{512}$/m],
  bookmarks: [/^1 blocks in a file of \d+ bytes$/m, /^different 0 65536$/m],
  'changed-blocks': [
    /^different 0 65536$/m,
    /^1 blocks from 0 on are data blocks from \d+ on, mapped at snapshot time 1$/m,
    /^volume 1: 1 blocks of its own, 0 shared$/m,
    /^faults: \[\]$/m,
  ],
  containerd: [/^made restored$/m, /^removed layers-/m],
  'getting-started': [
    /^volume 0 is \/dev\/dm-\d+$/m,
    /^the volume has taken less than 100 MiB/m,
    /^hello changed$/m,
    /^removed 2 volumes and 2 loop devices$/m,
    /^start-first is active\nstart-copy is active$/m,
  ],
  kernel: [/^my\\x20disk\nmy disk$/m, /state: 'active',\s+usedSectors: 32,/, /upSeconds: 60/, /^joined /m],
  monitoring: [/^topolvm_thinpool_data_percent\{pool="images",node="a1"\} 0$/m, /^200 true$/m, /thin_id="0",volume=""/],
  pools: [/^rw$/m, /^thin_dump --metadata-snap=\d+ /m],
  'recipe-database-clone': [/^\{ cents: 603 \}$/m],
  'recipe-sandbox': [/(^boots from \/dev\/dm-\d+\n){3}/m],
  repair: [/^damaged \[/m, /^thin_restore \/var\/lib\/images\/metadata.img.before-repair \[\] \[/m],
  'snapshot-metadata': [/^snapshot 1@1 is served on \/run\/web-1\/csi\.sock$/m],
  store: [/^C \/motd$/m, /^filled \[ 'try-1 \/dev\/dm-\d+', /m, /^\/dev\/dm-\d+ \[\]$/m],
  testing: [/^1048576$/m, /^rw$/m, /^DM_POOL_FULL$/m],
  transfer: [/^volume 3 is made from volume 1$/m, /^65536 bytes have changed$/m, /^restored as volume \d+$/m],
  udev: [/^images \/dev\/dm-\d+$/m],
}

const deviceOf = (name: string): string =>
  `/dev/dm-${run('dmsetup', ['info', '--columns', '--noheadings', '-o', 'minor', name]).trim()}`
const lines = (text: string): string[] => text.split('\n').filter(line => line !== '')
const mapped = (): string[] =>
  lines(run('dmsetup', ['info', '--columns', '--noheadings', '-o', 'name'])).filter(name => !/No devices/.test(name))
const attached = (): string[] =>
  lines(run('losetup', ['--list', '--noheadings', '--output', 'NAME'])).map(name => name.trim())

/** Returns a program that runs programs in their order. */
function importing(name: string, files: readonly string[]): string {
  const file = path.join(PROGRAMS, `all-${name}.mjs`)
  writeFileSync(file, files.map(each => `await import(${JSON.stringify(each)})\n`).join(''))
  return file
}

/** Takes away what the programs of a page leave: devices and mounts that a reader would keep. */
function cleanUp(): void {
  const mounts = lines(readFileSync('/proc/self/mounts', 'utf8')).map(line => line.split(' '))
  const ours = mounts.filter(([source, target]) => /^\/dev\/(dm-|loop|mapper)/.test(source!) || target === '/srv/view')
  for (const [, target] of ours.reverse()) tryRun('umount', [target!])
  for (let round = 0; round < 10 && mapped().length > 0; round++) {
    for (const name of mapped()) tryRun('dmsetup', ['remove', name])
  }
  for (const name of attached()) tryRun('losetup', ['--detach', name])
  // Of pools with `mapperLinks`, whose devices were not removed by this library.
  for (const name of readdirSync('/dev/mapper')) if (name !== 'control') rmSync(`/dev/mapper/${name}`, { force: true })
  for (const name of [...LEFT, ...STORES, PROGRAMS]) rmSync(name, { recursive: true, force: true })
}

/** Pages whose programs remove all files that they make. */
const LEAVES_NOTHING = ['README.md', 'docs/getting-started.md']

/** The pages that have programs. Two programs need a pool of containerd: test/clients/adopt.test.ts runs them. */
export const pagesWithPrograms = pages.filter(page => programs(page).some(block => !isForContainerd(block)))

/**
 * Expects that the programs of a page run on a Node, print what the page says, and leave nothing. `inOneProcess`: one
 * process imports them in their order, which takes half the time; otherwise each has a process, as a reader's has.
 */
export function runPage(page: string, node: string, scratch: Scratch, { inOneProcess = false } = {}): void {
  if (process.env['DM_THIN_GUEST'] !== '1')
    throw new Error('the pages name folders such as /var/lib: run them in the guest')
  scratch.log.allow(/reached low water mark|EXT4-fs|thin: Creation of/)
  expect([mapped(), attached()]).toEqual([[], []])
  const name = path.basename(page, '.md')
  const folder = scratch.path(scratch.name(name))
  mkdirSync(folder)
  for (const each of FOLDERS) mkdirSync(each, { recursive: true })
  try {
    BEFORE[name]?.()
    const blocks = programs(page).filter(block => !isForContainerd(block))
    const written = writePrograms(blocks, PROGRAMS)
    const files = inOneProcess && BETWEEN[name] === undefined ? [importing(name, written)] : written
    let printed = ''
    for (const [index, file] of files.entries()) {
      BETWEEN[name]?.[index]?.()
      const { status, stderr, stdout } = tryRun('env', ['-C', folder, ...ENVIRONMENT, `TMPDIR=${folder}`, node, file])
      expect({ program: path.basename(file), status, stderr, stdout }).toMatchObject({ status: 0, stderr: '' })
      printed += stdout
    }
    for (const text of PRINTS[name] ?? []) expect(printed).toMatch(text)
    if (LEAVES_NOTHING.includes(page)) expect(readdirSync(folder)).toEqual([])
  } finally {
    cleanUp()
  }
  expect([mapped(), attached()]).toEqual([[], []])
  expect(LEFT.filter(each => existsSync(each))).toEqual([])
  expect(readdirSync('/dev/mapper')).toEqual(['control'])
}
