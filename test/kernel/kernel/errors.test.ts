// Scenario (bad luck of the machine)                        Test
// no root                                                   creating, opening, attaching …
// no device mapper                                          calls without a device mapper …
// no loop support                                           calls without loop devices …
// C  errno out of text                                      errno and operation in each; port-devices.test.ts (locale)
// capability checked for each call, also with an open descriptor   every call of a process that has dropped …
import { mkdirSync, writeFileSync } from 'node:fs'
import { MiB } from '../../../lib/entry/index.js'
import { runChild } from '../../helpers/process/children.js'
import { snapshotKernelState } from '../../helpers/kernel/kernel-state.js'
import { withPool } from '../../helpers/pool/pools.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { tryRun } from '../../helpers/process/spawned.js'

const scratch = useScratch()
const text = JSON.stringify

/** Drops root in the child itself, after the library is loaded: the work tree need not be open to everybody. */
const DROP_ROOT = 'process.setgroups([]); process.setgid(65534); process.setuid(65534);'

/** A mount namespace, for the child only, in which `what` is mounted over the node or its folder. */
const covering = (node: string, what: string) => [
  'unshare',
  '--mount',
  'sh',
  '-c',
  `mount ${what} ${node} && exec "$@"`,
  'sh',
]
/** As container engines mask what a container is not to use. */
const masking = (node: string) => covering(node, '--bind /dev/null')

/** Runs all calls in one child (a start of Node is dear here): each fails with its error, kernel and files are as before. */
async function refused(calls: readonly [string, object][], folder: string, prefix: string[] = [], first = '') {
  const files = () => tryRun('find', [folder, '-printf', '%p %s\n']).stdout
  const before = [await snapshotKernelState(), files()]
  const attempts = calls.map(([call]) => `async () => { await ${call} }`)
  const outcome = await runChild(
    `${first}
    const said = ({ code, errno, message, operation }) => ({ code, errno, message, operation })
    const ends = []
    for (const attempt of [${attempts.join(', ')}]) ends.push(await attempt().then(() => 'succeeded', said))
    return ends`,
    prefix,
  )
  expect(outcome).toMatchObject({ value: calls.map(([, error]) => error) })
  expect([await snapshotKernelState(), files()]).toEqual(before)
}

function createCall(folder: string): string {
  const options = {
    name: scratch.name('pool'),
    data: { file: `${folder}/data`, sizeBytes: 16 * MiB },
    metadata: { file: `${folder}/metadata`, sizeBytes: 4 * MiB },
  }
  return `dmThin.ThinPool.create(${text(options)})`
}

const attachCall = (file: string) => `dmThin.LoopDevice.attach({ file: ${text(file)} })`

function folderFor(label: string): string {
  const folder = scratch.path(label)
  mkdirSync(folder, { mode: 0o777 })
  tryRun('chmod', ['-R', '0777', scratch.path('.')])
  return folder
}

test('creating, opening, attaching and mounting without root reject with DM_PERMISSION', async () => {
  const folder = folderFor('no-root')
  const file = `${folder}/image`
  writeFileSync(file, Buffer.alloc(MiB))
  await withPool(async (_, { name }) => {
    const permission = { code: 'DM_PERMISSION' }
    const calls: [string, object][] = [
      [createCall(folder), permission],
      [`dmThin.ThinPool.open(${text(name)})`, permission],
      [attachCall(file), permission],
      [
        `dmThin.mount({ source: 'none', target: ${text(folder)}, type: 'tmpfs' })`,
        { ...permission, errno: 1, operation: 'mount' },
      ],
    ]
    await refused(calls, folder, [], DROP_ROOT)
  })
})

test('every call of a process that has dropped root rejects with DM_PERMISSION, also with an open pool', async () => {
  await withPool(async (pool, { name }) => {
    const volume = await (await pool.createVolume({ sizeBytes: MiB })).activate()
    const first = `
      const pool = await dmThin.ThinPool.open(${text(name)})
      const volume = await pool.volume(0)
      ${DROP_ROOT}`
    const permission = { code: 'DM_PERMISSION', errno: 13 }
    const calls = ['pool.status()', 'pool.createVolume({ sizeBytes: 512 })', 'volume.deactivate()', 'volume.snapshot()']
    const all = calls.map((call): [string, object] => [call, permission])
    await refused(all, scratch.path('.'), [], first)
    expect((await pool.volumes()).map(({ id }) => id)).toEqual([0])
    expect(await volume.status()).toMatchObject({ state: 'active' })
  })
})

test.each([
  ['is not there', covering('/dev/mapper', '-t tmpfs none')],
  ['is masked', masking('/dev/mapper/control')],
])(
  'calls without a device mapper (its node %s) reject with DM_UNAVAILABLE and the module to load, and make no file',
  async (how, prefix) => {
    const folder = folderFor(`no-dm ${how}`)
    const error = { code: 'DM_UNAVAILABLE', message: expect.stringContaining('modprobe dm-mod') as string }
    const calls: [string, object][] = [
      [createCall(folder), error],
      ['dmThin.ThinPool.open("dmthintest-none")', error],
    ]
    await refused(calls, folder, prefix)
  },
)

test('calls without loop devices reject with DM_UNAVAILABLE, and roll back the files that they made', async () => {
  const folder = folderFor('no-loop')
  const error = { code: 'DM_UNAVAILABLE', message: expect.stringContaining('modprobe loop') as string }
  const file = `${folder}/image`
  writeFileSync(file, Buffer.alloc(MiB))
  const calls: [string, object][] = [
    [createCall(folder), error],
    [attachCall(file), error],
  ]
  await refused(calls, folder, masking('/dev/loop-control'))
})
