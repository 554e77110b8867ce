// The command line for layers: text, JSON, exit codes, the progress bar, and what a signal leaves.
//
// Scenario                                                  Test
// text and JSON of layer …                                  the layer commands create a store, import …
// findings                                                  layer verify and layer repair …
// what is removed                                           layer prune prints the …
// each kind of error of layers                              exit codes are 3 for a …
// a terminal                                                a progress bar is drawn on a terminal …
// a signal                                                  SIGINT ends layer import …; a command whose reader has closed …
import { spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { LayerStore } from '../../../lib/entry/store.js'
import { MiB } from '../../../lib/entry/index.js'
import { dmThin, jsonOf, linesOf, MAIN } from '../../helpers/process/command-line.js'
import { makeImage } from '../../helpers/store/oci-image.js'
import { run } from '../../helpers/process/spawned.js'
import { endStore, storeFiles, thinIdsBy, type StoreFiles } from '../../helpers/store/stores.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { dmMessage } from '../../helpers/kernel/dmsetup.js'

const scratch = useScratch()
const NAME = 'docker.io/library/small:1'

interface Listed {
  readonly key: string
  readonly kind: string
  readonly parent: string
  readonly sizeBytes: number
  readonly createdAt: string
  readonly labels: Record<string, string>
}

/** Makes a store by the command line, runs `body`, and takes the pool down. */
async function withMadeStore(body: (files: StoreFiles) => Promise<void> | void, data = '512MiB'): Promise<void> {
  const files = storeFiles()
  const { directory, poolName, dataFile, metadataFile } = files
  const pool = ['--pool-name', poolName, '--pool-data', dataFile, '--pool-metadata', metadataFile]
  const sizes = ['--pool-data-size', data, '--pool-metadata-size', '16MiB']
  expect(linesOf('layer', 'create', directory, ...pool, ...sizes)).toEqual([
    `directory  ${directory}`,
    `pool  ${poolName}`,
  ])
  await body(files)
  await endStore(files)
}

/** Runs `body` with the store, opened by the library beside the command line. */
async function inStore(directory: string, body: (store: LayerStore) => Promise<void>): Promise<void> {
  const store = await LayerStore.open({ directory, sizeBytes: 64 * MiB })
  await body(store).finally(() => store.close())
}

/** Makes an archive of an image with two layers. */
function image(name: string, content: string | Buffer = 'base'): string {
  const archive = scratch.path(`${name}.tar`)
  const layers = [
    { 'etc/base': String(content), 'etc/gone': 'gone' },
    { 'etc/top': 'top', 'etc/gone': null },
  ]
  makeImage({ folder: scratch.path('making'), name: NAME, busybox: '/bin/true', layers, archive })
  return archive
}

test('the layer commands create a store, import, list, compare and export: text and JSON', () =>
  withMadeStore(async ({ directory }) => {
    const archive = image('image')
    const labels = ['--label', 'team=red', '--label', 'dm-thin/keep=']
    const layers = linesOf('layer', 'import', directory, archive, '--size', '64MiB', ...labels)
    expect(layers).toHaveLength(2)
    expect(layers.every(key => key.startsWith('sha256:'))).toBe(true)
    const [lower, top] = layers as [string, string]
    expect(jsonOf(0, 'layer', 'import', directory, archive, '--name', NAME)).toMatchObject({ name: NAME, layers, top })
    await inStore(directory, async store => {
      await store.prepare('web 1', top)
      await store.withMounted('web 1', async folder => writeFileSync(path.join(folder, 'new'), Buffer.alloc(MiB, 1)))
      await store.view('look', lower)
    })

    const [title, ...rows] = linesOf('layer', 'ls', directory)
    expect(title).toBe('LAYER  KIND  PARENT  SIZE  FS  CREATED')
    expect(rows.map(line => line.replace(/ {2}\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/, '')).sort()).toEqual(
      [
        `${lower}  committed  -  64 MiB  ext4`,
        `${top}  committed  ${lower}  64 MiB  ext4`,
        `"web 1"  active  ${top}  64 MiB  ext4`,
        `look  view  ${lower}  64 MiB  ext4`,
      ].sort(),
    )
    const active = jsonOf<Listed[]>(0, 'layer', 'ls', directory, '--filter', 'kind==active', '--filter', 'name==look')
    expect(active.map(({ key }) => key)).toEqual(['look', 'web 1'])
    expect(active[0]).toMatchObject({ kind: 'view', parent: lower, sizeBytes: 64 * MiB })
    expect(active[0]!.createdAt).toMatch(/^\d{19}$/)
    expect(jsonOf<Listed[]>(0, 'layer', 'ls', directory, '--filter', 'labels.team==red')).toHaveLength(2)

    // By the bytes of their keys: `look` is before `sha256:…`.
    expect(dmThin('layer', 'tree', directory).stdout).toBe(
      [
        `${lower} committed, 64 MiB ext4`,
        '├─ look view, 64 MiB ext4',
        `└─ ${top} committed, 64 MiB ext4`,
        '   └─ "web 1" active, 64 MiB ext4',
        '',
      ].join('\n'),
    )
    expect(jsonOf(0, 'layer', 'tree', directory)).toMatchObject([
      { key: lower, children: [{ key: 'look' }, { key: top, children: [{ key: 'web 1', children: [] }] }] },
    ])

    expect(linesOf('layer', 'changes', directory, 'web 1')).toEqual(['A /new'])
    expect(linesOf('layer', 'changes', directory, 'web 1', lower)).toEqual(
      expect.arrayContaining(['A /new', 'A /etc/top', 'D /etc/gone']),
    )
    expect(jsonOf(0, 'layer', 'changes', directory, 'web 1')).toEqual([{ kind: 'A', path: '/new' }])
    expect(jsonOf(0, 'layer', 'changes', directory, 'look')).toEqual([])
    expect(dmThin('layer', 'changes', directory, 'look')).toMatchObject({ status: 0, stdout: '' })

    expect(linesOf('layer', 'space', directory)[0]).toBe('LAYER  KIND  EXCLUSIVE  SHARED')
    const space = jsonOf<{ key: string; exclusiveBytes: number }[]>(0, 'layer', 'space', directory)
    expect(space.find(({ key }) => key === 'web 1')!.exclusiveBytes).toBeGreaterThanOrEqual(MiB)

    const out = scratch.path('out.tar')
    expect(linesOf('layer', 'export', directory, top, '--name', NAME, '--output', out)[0]).toMatch(`${out} `)
    const again = scratch.path('again.tar')
    expect(jsonOf(0, 'layer', 'export', directory, top, '--name', NAME, '-o', again)).toEqual({
      layer: top,
      output: again,
      bytes: statSync(again).size,
    })
    expect(readFileSync(again).equals(readFileSync(out))).toBe(true)
    run('sh', [
      '-c',
      `${process.execPath} ${MAIN} layer export ${directory} ${top} --uncompressed | tar -t >${out}.list`,
    ])
    expect(readFileSync(`${out}.list`, 'utf8')).toContain('manifest.json')
    // Through a pipe; layers that the store has are not made again.
    const piped = `cat ${archive} | ${process.execPath} ${MAIN} layer import ${directory} - --json`
    expect((JSON.parse(run('sh', ['-c', piped])) as { layers: string[] }).layers).toEqual(layers)
  }))

test('layer verify and layer repair print findings, and exit with code 1 if some remain', () =>
  withMadeStore(async ({ directory, poolName }) => {
    scratch.log.allow(/Creation of new snapshot \d+ of device \d+ failed/)
    await inStore(directory, async store => void (await store.prepare('a')))
    expect(linesOf('layer', 'verify', directory)).toEqual(['nothing found'])
    expect(jsonOf(0, 'layer', 'verify', directory)).toEqual([])
    const thin = Math.max(...thinIdsBy(poolName)) + 1
    dmMessage(poolName, `create_thin ${thin}`)
    const first = dmThin('layer', 'verify', directory)
    expect(first).toMatchObject({ status: 1, stdout: `volume-without-layer: volume ${thin}: none\n` })
    expect(first.stderr).toContain(`dm-thin: found at opening: volume-without-layer: volume ${thin}: retired\n`)
    expect(jsonOf(1, 'layer', 'repair', directory)).toEqual([{ kind: 'volume-without-layer', thin, action: 'none' }])
    const planned = dmThin('layer', 'repair', directory, '--delete-retired', '--dry-run')
    expect(planned).toMatchObject({ status: 0, stdout: `volume-without-layer: volume ${thin}: deleted\n` })
    expect(thinIdsBy(poolName)).toContain(thin)
    expect(dmThin('layer', 'repair', directory, '--delete-retired').status).toBe(0)
    expect(thinIdsBy(poolName)).not.toContain(thin)
    expect(jsonOf(0, 'layer', 'verify', directory)).toEqual([])
  }))

test('layer prune prints the unused layers, and removes them with their blocks', () =>
  withMadeStore(async ({ directory, poolName }) => {
    await inStore(directory, async store => {
      for (const [name, parent] of [
        ['base', ''],
        ['old', 'base'],
        ['older', 'base'],
      ] as const) {
        await store.prepare(`${name}-active`, parent)
        await store.commit(name, `${name}-active`)
      }
    })
    const pruned = (...options: string[]) => jsonOf<Listed[]>(0, 'layer', 'prune', directory, ...options)
    const keys = (layers: Listed[]) => layers.map(({ key }) => key)
    expect(keys(pruned('--dry-run'))).toEqual(['old', 'older', 'base'])
    expect(keys(pruned('--keep', 'old', '--dry-run'))).toEqual(['older'])
    expect(keys(pruned('--most', '1'))).toEqual(['old'])
    const before = thinIdsBy(poolName).length
    expect(linesOf('layer', 'prune', directory, '--keep', 'base')[1]).toMatch(/^older {2}committed {2}base/)
    expect(thinIdsBy(poolName)).toHaveLength(before - 1)
    expect(keys(jsonOf(0, 'layer', 'ls', directory))).toEqual(['base'])
  }))

test('exit codes are 3 for a missing layer, 4 for an existing file, 5 for a layer in use, 9 for no image, 10 for others', () =>
  withMadeStore(async ({ directory }) => {
    await inStore(directory, async store => {
      await store.prepare('active')
      await store.prepare('making')
      await store.commit('base', 'making')
    })
    const failed = (...args: string[]) => {
      const { status, stdout, stderr } = dmThin(...args, '--json')
      const { error } = JSON.parse(stderr) as { error: { code?: string; exitCode: number } }
      expect({ stdout, exitCode: error.exitCode }).toEqual({ stdout: '', exitCode: status })
      return [status, error.code]
    }
    const file = scratch.path('file')
    writeFileSync(file, 'not an image'.repeat(1000))
    expect(failed('layer', 'ls', scratch.path('none'))).toEqual([3, 'DM_NOT_FOUND'])
    expect(existsSync(scratch.path('none'))).toBe(false)
    expect(failed('layer', 'changes', directory, 'none')).toEqual([3, 'DM_LAYER_NOT_FOUND'])
    expect(failed('layer', 'import', directory, scratch.path('none'))).toEqual([3, 'DM_FILE_MISSING'])
    expect(failed('layer', 'ls', directory, '--filter', 'name~=(')).toEqual([2, 'DM_FILTER'])
    expect(failed('layer', 'export', directory, 'base')).toEqual([2, 'DM_INVALID_ARGUMENT'])
    expect(failed('layer', 'export', directory, 'base', '--output', file)).toEqual([4, 'DM_NAME_TAKEN'])
    expect(readFileSync(file, 'utf8')).toMatch(/^not an image/)
    const active = scratch.path('active.tar')
    expect(failed('layer', 'export', directory, 'active', '--output', active)).toEqual([5, 'DM_LAYER_STATE'])
    expect(existsSync(active)).toBe(false)
    expect(failed('layer', 'import', directory, file)[0]).toBe(9)
    const nowhere = scratch.path('no/folder')
    expect(failed('layer', 'export', directory, 'base', '--output', nowhere)).toEqual([3, 'DM_FILE_MISSING'])
  }))

test('layer import of an image that does not fit exits with code 6, and leaves nothing behind', () =>
  withMadeStore(({ directory }) => {
    const large = image('large', 'x'.repeat(40 * MiB))
    const ran = dmThin('layer', 'import', directory, large, '--size', '24MiB')
    expect(ran).toMatchObject({ status: 6, stdout: '' })
    expect(ran.stderr).toMatch(/\(DM_(LAYER_SPACE|POOL_FULL)\)\n$/)
    expect(jsonOf(0, 'layer', 'ls', directory)).toEqual([])
  }))

test('a progress bar is drawn on a terminal only, and erased at the end', () =>
  withMadeStore(({ directory }) => {
    const archive = image('shown')
    const plain = dmThin('layer', 'import', directory, archive, '--size', '64MiB')
    expect(plain.stderr).not.toContain('importing')
    const command = `${process.execPath} ${MAIN} layer import ${directory} ${archive} --size 64MiB`
    const shown = run('script', ['--quiet', '--return', '--command', command, '/dev/null'])
    expect(shown).toMatch(/\r\x1b\[Kimporting \[-{20}\] 0\/2 {2}layer 1: /)
    expect(shown.slice(shown.lastIndexOf('importing'))).toContain('\r\x1b[K')
  }))

test('a command whose reader has closed the pipe exits with code 141, and prints no error', () =>
  withMadeStore(async ({ directory }) => {
    await inStore(directory, async store => {
      await store.prepare('many')
      await store.withMounted('many', folder => {
        // More text than a pipe holds.
        for (let at = 0; at < 2000; at++) writeFileSync(path.join(folder, `${'name-'.repeat(20)}${at}`), '')
        return Promise.resolve()
      })
    })
    for (const json of ['', '--json']) {
      const changes = `${process.execPath} ${MAIN} layer changes ${directory} many ${json}`
      const printed = run('sh', ['-c', `{ { ${changes} 2>&4; echo "exit $?" >&4; } | head -n 1 >/dev/null; } 4>&1`])
      expect(printed).toBe('exit 141\n')
    }
  }))

test('SIGINT ends layer import with exit code 130, and nothing is left behind', () =>
  withMadeStore(async ({ directory }) => {
    const archive = readFileSync(image('cut'))
    const child = spawn(process.execPath, [MAIN, 'layer', 'import', directory, '-', '--size', '64MiB'])
    let [stderr, isOver] = ['', false]
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
    const ended = new Promise<number | null>(resolve => child.on('close', resolve))
    void ended.then(() => (isOver = true))
    child.stdin.on('error', () => {}) // its reader goes
    child.stdin.write(archive.subarray(0, 8192)) // and no end: it waits for more
    const staging = path.join(directory, 'staging')
    while (!isOver && (!existsSync(staging) || readdirSync(staging).length === 0)) await sleep(20)
    expect([isOver, stderr]).toEqual([false, ''])
    child.kill('SIGINT')
    expect(await ended).toBe(130)
    child.stdin.destroy()
    expect(readdirSync(staging)).toEqual([])
    expect(jsonOf(0, 'layer', 'ls', directory)).toEqual([])
    expect(jsonOf(0, 'layer', 'verify', directory)).toEqual([])
  }))
