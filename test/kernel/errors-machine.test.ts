// Scenario (bad luck of the machine)                        Test
// no root                                                   without root …
// no device mapper                                          without device mapper …
// no loop support                                           without loop devices …
// C  errno out of text; M errno of the ioctl, not of open   the errno of the refused call is in the error
// capability checked for each call, also with an open descriptor   a process that gives root up …
import { mkdirSync, writeFileSync } from 'node:fs'
import { MiB } from '../../lib/index.js'
import { runChild } from '../helpers/children.js'
import { snapshotKernelState } from '../helpers/kernel-state.js'
import { withPool } from '../helpers/pools.js'
import { useScratch } from '../helpers/scratch.js'
import { tryRun } from '../helpers/spawned.js'

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

/** Fails in the child with `code`; kernel and files are as before. */
async function refused(body: string, prefix: string[], error: object, folder: string) {
  const files = () => tryRun('find', [folder, '-printf', '%p %s\n']).stdout
  const before = [snapshotKernelState(), files()]
  expect(await runChild(body, prefix)).toMatchObject({ error })
  expect([snapshotKernelState(), files()]).toEqual(before)
}

function createCall(folder: string): string {
  const options = {
    name: scratch.name('pool'),
    data: { file: `${folder}/data`, sizeBytes: 16 * MiB },
    metadata: { file: `${folder}/metadata`, sizeBytes: 4 * MiB },
  }
  return `await dmThin.ThinPool.create(${text(options)})`
}

function folderFor(label: string): string {
  const folder = scratch.path(label)
  mkdirSync(folder, { mode: 0o777 })
  tryRun('chmod', ['-R', '0777', scratch.path('.')])
  return folder
}

test('without root: creating, opening, attaching and mounting are not permitted', async () => {
  const folder = folderFor('no-root')
  const file = `${folder}/image`
  writeFileSync(file, Buffer.alloc(MiB))
  await withPool(async (_, { name }) => {
    const permission = { code: 'DM_PERMISSION' }
    await refused(DROP_ROOT + createCall(folder), [], permission, folder)
    await refused(`${DROP_ROOT} await dmThin.ThinPool.open(${text(name)})`, [], permission, folder)
    await refused(`${DROP_ROOT} await dmThin.LoopDevice.attach({ file: ${text(file)} })`, [], permission, folder)
    const mount = `await dmThin.mount({ source: 'none', target: ${text(folder)}, type: 'tmpfs' })`
    await refused(DROP_ROOT + mount, [], { ...permission, errno: 1, operation: 'mount' }, folder)
  })
})

test('a process that gives root up while it has a pool: every call from then on is not permitted', async () => {
  await withPool(async (pool, { name }) => {
    const volume = await (await pool.createVolume({ sizeBytes: MiB })).activate()
    const first = `const pool = await dmThin.ThinPool.open(${text(name)}); const volume = await pool.volume(0);`
    for (const call of [
      'pool.status()',
      'pool.createVolume({ sizeBytes: 512 })',
      'volume.deactivate()',
      'volume.snapshot()',
    ]) {
      await refused(`${first} ${DROP_ROOT} await ${call}`, [], { code: 'DM_PERMISSION', errno: 13 }, scratch.path('.'))
    }
    expect((await pool.volumes()).map(({ id }) => id)).toEqual([0])
    expect(await volume.status()).toMatchObject({ state: 'active' })
  })
})

test.each([
  ['is not there', covering('/dev/mapper', '-t tmpfs none')],
  ['is masked', masking('/dev/mapper/control')],
])(
  'without device mapper (its node %s): unavailable, with the module to load, and no file is made',
  async (how, prefix) => {
    const folder = folderFor(`no-dm ${how}`)
    const error = { code: 'DM_UNAVAILABLE', message: expect.stringContaining('modprobe dm-mod') as string }
    await refused(createCall(folder), prefix, error, folder)
    await refused('await dmThin.ThinPool.open("dmthintest-none")', prefix, error, folder)
  },
)

test('without loop devices: unavailable, and the files that were made are taken back', async () => {
  const folder = folderFor('no-loop')
  const error = { code: 'DM_UNAVAILABLE', message: expect.stringContaining('modprobe loop') as string }
  const hidden = masking('/dev/loop-control')
  const file = `${folder}/image`
  writeFileSync(file, Buffer.alloc(MiB))
  await refused(createCall(folder), hidden, error, folder)
  await refused(`await dmThin.LoopDevice.attach({ file: ${text(file)} })`, hidden, error, folder)
})
