// The command line for pools and volumes, and the exit code of each kind of error.
//
// Scenario                                                  Test
// text, JSON and exit codes of pool …                       the pool commands create, list, grow, remove …
// text, JSON and exit codes of volume …                     the volume commands create, list, activate …
// pools that something is wrong with                        pool ls --all lists pools …
// each kind of error of pools and volumes                   the exit code; of layers: command-line-layers.test.ts
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { dmThin, jsonOf, linesOf, MAIN } from '../../helpers/process/command-line.js'
import { MiB, type ThinVolume } from '../../../lib/entry/index.js'
import { DAMAGE } from '../../helpers/metadata/damage.js'
import { withPool } from '../../helpers/pool/pools.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { run, tryRun } from '../../helpers/process/spawned.js'
import { dmCreate, dmInfo, dmRemove } from '../../helpers/kernel/dmsetup.js'

const scratch = useScratch()

interface Volume {
  readonly id: number
  readonly name: string
  readonly active: boolean
  readonly path: string | null
  readonly sizeBytes: number | null
  readonly origin: number | null
  readonly error?: { readonly code: string }
}

/** Arguments that name the files of a pool. */
function filesOf(name: string): string[] {
  const folder = scratch.path(name)
  mkdirSync(folder, { recursive: true })
  return ['--data', `${folder}/data.img`, '--metadata', `${folder}/metadata.img`]
}
const SIZES = ['--data-size', '64MiB', '--metadata-size', '4MiB']

test('pool check names the state of damaged metadata, and pool repair resolves it: text, JSON and exit codes', () => {
  const name = scratch.name('pool')
  const files = filesOf(name)
  const metadata = files[3]!
  linesOf('pool', 'create', name, ...files, ...SIZES)
  expect(linesOf('pool', 'check', name)).toEqual(expect.arrayContaining(['runs  yes', 'state  ok']))
  linesOf('pool', 'remove', name)
  DAMAGE.bitmap(metadata)
  expect(jsonOf(0, 'pool', 'check', name, ...files, '--quick')).toMatchObject({ state: 'ok', running: false })
  expect(jsonOf(1, 'pool', 'check', name, ...files)).toMatchObject({ state: 'damaged', running: false })
  expect(dmThin('pool', 'check', name)).toMatchObject({ status: 3 })
  expect(linesOf('pool', 'repair', name, ...files)).toEqual([
    `pool  ${name}`,
    'state before  damaged',
    'repaired by  thin_restore',
    `metadata  ${metadata}`,
    `original  ${metadata}.before-repair`,
    'volumes lost  none',
  ])
  expect(jsonOf(0, 'pool', 'repair', name)).toMatchObject({ state: 'ok', by: 'none' })
  linesOf('pool', 'remove', name, '--delete-files')
})

test('the pool commands create, list, grow, remove and open a pool: text and JSON', () => {
  const name = scratch.name('pool')
  const files = filesOf(name)
  const created = linesOf('pool', 'create', name, ...files, ...SIZES, '--block-size', '128KiB', '--error-if-no-space')
  expect(created).toContain('mode  rw')
  expect(created).toContain('data  0 B of 64 MiB (0 %)')
  expect(created).toContain('data block  128 KiB')
  expect(created).toContain('when full  error_if_no_space')
  const [data, metadata] = run('dmsetup', ['table', name]).trim().split(' ').slice(3, 5) as [string, string]
  expect([data, metadata].every(number => number.startsWith('7:'))).toBe(true)

  const minor = dmInfo(name)!.number.split(':')[1]!
  const [title, ...rows] = linesOf('pool', 'ls')
  expect(title).toBe('NAME  DEVICE  MODE  DATA  METADATA')
  expect(rows).toHaveLength(1)
  expect(rows[0]).toMatch(`${name}  /dev/dm-${minor}  rw  0 B of 64 MiB (0 %)  `)
  expect(jsonOf(0, 'pool', 'ls')).toMatchObject([{ name, path: `/dev/dm-${minor}`, status: { mode: 'rw' } }])

  expect(linesOf('pool', 'status', name)).toEqual(expect.arrayContaining([`name  ${name}`, 'needs check  no']))
  const status = { name, mode: 'rw', transactionId: '0', dataBlockBytes: 131072, findings: [] }
  expect(jsonOf(0, 'pool', 'status', name)).toMatchObject({ ...status, data: { totalBytes: 64 * MiB } })

  expect(linesOf('pool', 'grow', name, '--data', '128MiB')).toContain('data  0 B of 128 MiB (0 %)')
  expect(jsonOf(0, 'pool', 'grow', name, '--metadata', '8MiB')).toMatchObject({
    data: { totalBytes: 128 * MiB },
    metadata: { totalBytes: 8 * MiB },
  })
  expect(run('dmsetup', ['table', name])).toMatch(/^0 262144 thin-pool /)

  expect(linesOf('pool', 'remove', name)).toEqual(
    expect.arrayContaining([`removed  ${name}`, 'volumes deactivated  0', 'files deleted  none']),
  )
  expect(dmInfo(name)).toBeUndefined()
  expect(linesOf('pool', 'ls')).toEqual(['NAME  DEVICE  MODE  DATA  METADATA'])

  expect(linesOf('pool', 'open', name, ...files)).toContain('data  0 B of 128 MiB (0 %)')
  const removed = jsonOf<{ pool: string; files: string[] }>(0, 'pool', 'remove', name, '--delete-files')
  expect(removed).toMatchObject({ pool: name, volumes: [] })
  expect(removed.files).toHaveLength(2)
  expect(removed.files.filter(file => existsSync(file))).toEqual([])
})

test('the volume commands create, list, activate, snapshot, deactivate and delete volumes: text and JSON', async () => {
  scratch.log.allow(/thin: Deletion of thin device 7 failed/)
  const record = scratch.path('record.json')
  await withPool({ record }, (_, { name }) => {
    const volume = (command: string, ...args: string[]) => linesOf('volume', command, name, ...args, '--record', record)
    const asJson = <T>(status: number, command: string, ...args: string[]) =>
      jsonOf<T>(status, 'volume', command, name, ...args, '--record', record)

    expect(volume('create', '--size', '16MiB')).toEqual([
      'ID  NAME  DEVICE  SIZE  ORIGIN',
      `0  ${name}-0  -  16 MiB  -`,
    ])
    const named = scratch.name('golden')
    const [golden] = asJson<Volume[]>(0, 'create', '--size', '8MiB', '--id', '7', '--name', named, '--activate')
    expect(golden).toMatchObject({ id: 7, name: named, active: true, sizeBytes: 8 * MiB, origin: null })
    expect(golden!.path).toBe(`/dev/dm-${dmInfo(named)!.number.split(':')[1]}`)
    run('dd', ['if=/dev/urandom', `of=${golden!.path}`, 'bs=1M', 'count=2', 'oflag=direct'])

    expect(volume('snapshot', '7')).toEqual(['ID  NAME  DEVICE  SIZE  ORIGIN', `1  ${name}-1  -  8 MiB  7`])
    const many = asJson<Volume[]>(0, 'snapshot', '7', '--count', '3', '--activate', '--read-only')
    expect(many.map(({ id, active, origin }) => [id, active, origin])).toEqual([
      [2, true, 7],
      [3, true, 7],
      [4, true, 7],
    ])
    expect(run('blockdev', ['--getro', many[0]!.path!]).trim()).toBe('1')

    expect(volume('activate', '0', '1')).toEqual([
      'ID  NAME  DEVICE  SIZE  ORIGIN',
      expect.stringMatching(/^0 {2}\S+ {2}\/dev\/dm-\d+ {2}16 MiB {2}-$/),
      expect.stringMatching(/^1 {2}\S+ {2}\/dev\/dm-\d+ {2}8 MiB {2}7$/),
    ])
    expect(volume('status', '7')).toEqual(expect.arrayContaining(['id  7', 'size  8 MiB', 'mapped  2 MiB']))
    expect(asJson(0, 'status', '0')).toMatchObject({ id: 0, state: 'active', mappedBytes: 0 })

    expect(volume('ls').map(line => line.split('  ')[0])).toEqual(['ID', '0', '1', '2', '3', '4', '7'])
    const usage = asJson<{ id: number; exclusiveBytes: number; sharedBytes: number }[]>(0, 'ls', '--usage')
    expect(usage.find(({ id }) => id === 7)).toMatchObject({ exclusiveBytes: 0, sharedBytes: 2 * MiB })
    expect(volume('ls', '--usage')[0]).toBe('ID  NAME  DEVICE  SIZE  ORIGIN  EXCLUSIVE  SHARED')

    // One of several fails: the others are done, and its kind of error is the exit code.
    const partly = dmThin('volume', 'deactivate', name, '2', '3', '4', '--record', record, '--json')
    expect(partly.status).toBe(0)
    const deleted = dmThin('volume', 'delete', name, '2', '7', '3', '--record', record, '--json')
    expect(deleted.status).toBe(5)
    expect(deleted.stderr).toMatch(/^dm-thin: volume 7: .*\(DM_VOLUME_ACTIVE\)$/m)
    const results = JSON.parse(deleted.stdout) as Volume[]
    expect(results.map(({ id, error }) => [id, error?.code])).toEqual([
      [2, undefined],
      [7, 'DM_VOLUME_ACTIVE'],
      [3, undefined],
    ])
    expect(volume('ls').map(line => line.split('  ')[0])).toEqual(['ID', '0', '1', '4', '7'])

    const other = scratch.name('other')
    expect(volume('deactivate', '7', '--timeout-ms', '1000')).toHaveLength(2)
    expect(volume('activate', '7', '--name', other)[1]).toMatch(`7  ${other}  /dev/dm-`)
    expect(volume('deactivate', '0', '1', '7')).toHaveLength(4)
    expect(volume('delete', '0', '1', '4', '7')).toHaveLength(5)
    expect(asJson(0, 'ls')).toEqual([])
    return Promise.resolve()
  })
})

test('volume send and volume receive copy a volume through a file, and its changes through a pipe', async () => {
  const record = scratch.path('copies.json')
  await withPool(async (pool, { name }) =>
    withPool({ record }, async (copies, { name: copiesName }) => {
      const volume = await (await pool.createVolume({ sizeBytes: 8 * MiB })).activate()
      const write = (block: number) =>
        run('dd', ['if=/dev/urandom', `of=${volume.path}`, 'bs=64k', 'count=1', `seek=${block}`, 'oflag=direct'])
      write(0)
      const base = await volume.snapshot()
      write(5)
      const next = await volume.snapshot()
      const file = scratch.path('base.stream')
      const send = ['volume', 'send', name, String(base.id), file, '--size', '8MiB']
      expect(dmThin(...send)).toMatchObject({ status: 0, stdout: '' })
      const before = readFileSync(file)
      expect(dmThin(...send).status).toBe(4) // the file exists
      expect(readFileSync(file).equals(before)).toBe(true)
      const nowhere = scratch.path('no/folder')
      expect(dmThin('volume', 'send', name, String(base.id), nowhere, '--size', '8MiB').status).toBe(3)
      expect(dmThin('volume', 'receive', copiesName, nowhere, '--record', record).status).toBe(3)
      expect(dmThin('volume', 'receive', copiesName, file)).toMatchObject({ status: 7 })
      const [copy] = jsonOf<Volume[]>(0, 'volume', 'receive', copiesName, file, '--record', record)
      expect(copy).toMatchObject({ active: false, sizeBytes: 8 * MiB, origin: null })
      expect(dmThin('volume', 'receive', copiesName, MAIN, '--record', record).status).toBe(9)

      const cli = `${process.execPath} ${MAIN} volume`
      const changes = `${cli} send ${name} ${next.id} --size 8MiB --from ${base.id}`
      run('sh', ['-c', `${changes} | ${cli} receive ${copiesName} --record ${record} --base ${copy!.id}`])
      const all = await copies.volumes()
      const last = all.find(({ origin }) => origin === copy!.id)!
      await last.activate({ readOnly: true })
      await next.activate({ readOnly: true })
      run('cmp', [last.path, next.path])
      await next.deactivate()
      await last.deactivate()
    }),
  )
})

test('backup saves streams in a directory, and restores them after the volume is gone; a receive is continued', async () => {
  const record = scratch.path('restored.json')
  const chunks = scratch.path('chunks')
  await withPool({ record }, async (pool, { name }) => {
    const volume = await (await pool.createVolume({ sizeBytes: 8 * MiB })).activate()
    const write = (block: number) =>
      run('dd', ['if=/dev/urandom', `of=${volume.path}`, 'bs=64k', 'count=1', `seek=${block}`, 'oflag=direct'])
    write(0)
    const monday = await volume.snapshot()
    write(5)
    const tuesday = await volume.snapshot()
    const cli = `${process.execPath} ${MAIN}`
    const send = `${cli} volume send ${name} --record ${record}`
    run('sh', ['-c', `${send} ${monday.id} | ${cli} backup save ${chunks} monday`])
    run('sh', ['-c', `${send} ${tuesday.id} --from ${monday.id} | ${cli} backup save ${chunks} tuesday --base monday`])
    expect(dmThin('backup', 'ls', chunks)).toMatchObject({ status: 0, stdout: 'monday\ntuesday\n' })
    expect(dmThin('backup', 'delete', chunks, 'monday').status).toBe(0)
    expect(jsonOf(0, 'backup', 'collect', chunks)).toMatchObject({ deleted: expect.any(Number) as number })
    expect(dmThin('backup', 'read', chunks, 'monday', scratch.path('none')).status).toBe(9)
    expect(existsSync(scratch.path('none'))).toBe(false)
    expect(dmThin('backup', 'read', chunks, 'tuesday', scratch.path('no/folder')).status).toBe(3)
    expect(dmThin('backup', 'save', chunks, 'friday', scratch.path('no/folder')).status).toBe(3)
    const digest = async (each: ThinVolume) => {
      await each.activate({ readOnly: true })
      const found = run('sha256sum', [each.path]).split(' ')[0]
      await each.deactivate()
      return found
    }
    const expected = await digest(tuesday)
    await monday.delete()
    await tuesday.delete()

    const [whole, part] = [scratch.path('whole.stream'), scratch.path('part.stream')]
    expect(dmThin('backup', 'read', chunks, 'tuesday', whole).status).toBe(0)
    writeFileSync(part, readFileSync(whole).subarray(0, -60))
    const receive = ['volume', 'receive', name, '--record', record]
    expect(dmThin(...receive, part, '--save-every', '64KiB').status).toBe(9)
    const listed = jsonOf<{ token: string }[]>(0, 'volume', 'interrupted', name, '--record', record)
    const read = `${cli} backup read ${chunks} tuesday --resume ${listed[0]!.token}`
    run('sh', ['-c', `${read} | ${cli} volume receive ${name} --record ${record} --activate --read-only`])
    const restored = (await pool.volumes()).find(each => each.active && each.id !== volume.id)!
    expect(run('sha256sum', [restored.path]).split(' ')[0]).toBe(expected)
  })
})

test('volume diff lists what has changed since a volume, and since the bookmark of a deleted one', async () => {
  await withPool(async (pool, { name }) => {
    const volume = await (await pool.createVolume({ sizeBytes: 8 * MiB })).activate()
    const write = (block: number) =>
      run('dd', ['if=/dev/urandom', `of=${volume.path}`, 'bs=64k', 'count=1', `seek=${block}`, 'oflag=direct'])
    for (const block of [0, 1, 2]) write(block)
    const base = await volume.snapshot()
    const file = scratch.path('base.bookmark')
    const made = jsonOf<{ bytes: number }>(0, 'volume', 'bookmark', name, String(base.id), file)
    expect(made).toMatchObject({ file, blocks: 3, bytes: statSync(file).size })
    expect(linesOf('volume', 'bookmark', name, String(base.id), file)).toEqual([
      `file  ${file}`,
      `size  ${statSync(file).size} B`,
      'mapped blocks  3',
    ])
    write(1)
    write(9)
    const expected = ['different 65536 65536', 'rightOnly 589824 65536']
    expect(linesOf('volume', 'diff', name, '0', '--from', String(base.id))).toEqual(expected)
    await base.delete()
    expect(linesOf('volume', 'diff', name, '0', '--since', file)).toEqual(expected)
    expect(jsonOf(0, 'volume', 'diff', name, '0', '--since', file)).toEqual([
      { type: 'different', offsetBytes: 65536, lengthBytes: 65536 },
      { type: 'rightOnly', offsetBytes: 589824, lengthBytes: 65536 },
    ])
    expect(dmThin('volume', 'diff', name, '0').status).toBe(2)
    expect(dmThin('volume', 'diff', name, '0', '--since', file, '--from', '0').status).toBe(2)
    expect(dmThin('volume', 'diff', name, '0', '--since', '/dev/null').status).toBe(8)
    expect(dmThin('volume', 'bookmark', name, '0', file).status).toBe(8)
  })
})

test('pool ls --all lists pools of other programs too, and pool status reports their status', async () => {
  const foreign = scratch.name('foreign')
  await withPool(async (_, { name }) => {
    const [folder, other] = [scratch.path('foreign'), scratch.name('zero')]
    mkdirSync(folder)
    for (const [file, size] of [
      ['data', '16M'],
      ['metadata', '4M'],
    ])
      run('truncate', ['-s', size!, `${folder}/${file}`])
    const [data, metadata] = ['data', 'metadata'].map(file =>
      run('losetup', ['--find', '--show', `${folder}/${file}`]).trim(),
    )
    dmCreate(foreign, `0 32768 thin-pool ${metadata} ${data} 128 0`)
    dmCreate(other, '0 8 zero')
    const names = (...options: string[]) =>
      jsonOf<{ name: string }[]>(0, 'pool', 'ls', ...options).map(each => each.name)
    expect(names()).toEqual([name])
    expect(names('--all').sort()).toEqual([foreign, name].sort())
    expect(jsonOf(0, 'pool', 'status', foreign)).toMatchObject({ name: foreign, mode: 'rw' })
    for (const each of [foreign, other]) dmRemove(each)
    for (const loop of [data, metadata]) run('losetup', ['--detach', loop!])
  })
})

describe('the exit code', () => {
  /** The exit code, and the code in the error that --json prints. */
  const failed = (...args: string[]) => {
    const { status, stdout, stderr } = dmThin(...args, '--json')
    const { error } = JSON.parse(stderr) as { error: { code?: string; message: string; exitCode: number } }
    expect({ stdout, exitCode: error.exitCode }).toEqual({ stdout: '', exitCode: status })
    return [status, error.code]
  }

  test('is 2 for invalid arguments', () => {
    expect(dmThin().status).toBe(2)
    expect(dmThin('pool', 'lss')).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('unknown command') as string,
    })
    expect(dmThin('pool', 'status').stderr).toContain("missing required argument 'pool'")
    const typed = dmThin('volume', 'create', 'x', '--size', 'much')
    expect(typed).toMatchObject({ status: 2, stdout: '', stderr: expect.stringContaining('A size is 10GiB') as string })
    expect(failed('pool', 'grow', 'x')).toEqual([2, 'DM_INVALID_ARGUMENT'])
    expect(failed('pool', 'status', 'a/b')).toEqual([2, 'DM_INVALID_ARGUMENT'])
  })

  test('is 3 for something missing, 4 for something that exists, 5 for a state that does not permit the call', async () => {
    const missing = dmThin('pool', 'status', scratch.name('none'))
    expect(missing).toMatchObject({ status: 3, stdout: '' })
    expect(missing.stderr).toMatch(/^dm-thin: no pool .* \(DM_NOT_FOUND\)\n$/)
    await withPool(async (pool, { name }) => {
      expect(failed('volume', 'activate', name, '5', '--size', '1MiB')).toEqual([3, 'DM_VOLUME_NOT_FOUND'])
      expect(failed('layer', 'ls', scratch.path('none'))).toEqual([3, 'DM_NOT_FOUND'])
      expect(failed('pool', 'create', name, ...filesOf(name), ...SIZES)).toEqual([4, 'DM_NAME_TAKEN'])
      await pool.createVolume({ sizeBytes: MiB, id: 3 })
      expect(failed('volume', 'create', name, '--size', '1MiB', '--id', '3')).toEqual([4, 'DM_VOLUME_EXISTS'])
      expect(failed('volume', 'status', name, '3')).toEqual([5, 'DM_NOT_ACTIVE'])
      scratch.log.allow(/thin: Creation of new (thinly-provisioned|snapshot) .* failed/)
    })
  })

  test('is 8 for data that differs from the record', () =>
    withPool((_, { name, dataFile, metadataFile }) => {
      const other = scratch.path('other.img')
      run('truncate', ['-s', '64M', other])
      const open = (data: string) => ['pool', 'open', name, '--data', data, '--metadata', metadataFile]
      expect(failed(...open(other))).toEqual([8, 'DM_POOL_MISMATCH'])
      expect(dmThin(...open(dataFile)).status).toBe(0)
      return Promise.resolve()
    }))

  test('is 7 for a machine without the device mapper', () => {
    const mask = 'mount --bind /dev/null /dev/mapper/control && exec "$@"'
    const masked = ['--mount', 'sh', '-c', mask, 'sh', process.execPath, MAIN, 'pool', 'ls']
    expect(tryRun('unshare', masked)).toMatchObject({ status: 7, stdout: '' })
  })
})
