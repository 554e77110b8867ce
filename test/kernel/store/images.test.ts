// Layers of images into a store and out of it: what GNU tar makes of an archive, Docker's list of changes, the same bytes
// each time, images that come back as they went; and untrusted archives, which leave nothing.
import { randomBytes } from 'node:crypto'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import {
  createWriteStream,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { pipeline } from 'node:stream/promises'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import type { Change } from '../../../lib/entry/store.js'
import { MiB } from '../../../lib/entry/index.js'
import type { CallMessage } from '../../../lib/entry/kernel.js'
import { archive, END, inPieces, largeFile, members, seen, sha256, unpackedByTar } from '../../helpers/tree/archives.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { makeImage } from '../../helpers/store/oci-image.js'
import { run } from '../../helpers/process/spawned.js'
import { keysOf, thinIdsBy, withStore } from '../../helpers/store/stores.js'
import { useScratch } from '../../helpers/kernel/scratch.js'

const scratch = useScratch()

async function collected(stream: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of stream) chunks.push(chunk)
  return Buffer.concat(chunks)
}

async function listed(changes: AsyncIterable<Change>): Promise<string[]> {
  const lines: string[] = []
  for await (const { kind, path: where } of changes) lines.push(`${kind} ${where}`)
  return lines
}

/** Without the root, which a tar of differences has only for its own changes, and without the width of columns. */
const lines = (list: string): string[] =>
  list
    .split('\n')
    .slice(1, -1)
    .map(line => line.replace(/ +/g, ' '))

/** The discards that the loop device of a file has executed (Documentation/block/stat.rst). */
function discardsOf(file: string): number {
  const device = run('losetup', ['-n', '-O', 'NAME', '-j', file]).trim()
  return Number(
    readFileSync(`/sys/block/${path.basename(device)}/stat`, 'utf8')
      .trim()
      .split(/ +/)[11],
  )
}

const LOWER = archive(
  { name: 'etc/', type: '5', mode: 0o755 },
  { name: 'etc/passwd', content: 'root:x:0:0', mode: 0o600, uid: 7, gid: 8, time: 1_500_000_000 },
  { name: 'etc/old', content: 'old' },
  { name: 'usr/bin/tool', content: Buffer.alloc(100_000, 1), mode: 0o4755 },
  { name: 'usr/bin/link', type: '2', link: 'tool' },
  { name: 'dir/a', content: 'a' },
  { name: 'dir/b', content: 'b' },
)
const UPPER = archive(
  { name: 'etc/.wh.old', content: '' },
  { name: 'etc/passwd', content: 'changed' },
  { name: 'dir/.wh..wh..opq', content: '' },
  { name: 'dir/c', content: 'c' },
  { name: 'new', content: 'new', pax: [['SCHILY.xattr.user.mark', 'value']] },
)

describe.each(['ext4', 'xfs'] as const)('layers on %s', fileSystem => {
  test('have an exported difference that GNU tar unpacks to the same tree', () =>
    withStore({ fileSystem }, async store => {
      await store.prepare('a', '')
      const progress: number[] = []
      const applied = await store.applyLayer('a', inPieces(gzipSync(LOWER)), {
        digest: sha256(gzipSync(LOWER)),
        diffId: sha256(LOWER),
        onProgress: ({ entries }) => progress.push(entries),
      })
      expect(applied.entries).toBe(7)
      expect(progress.at(-1)).toBe(7)
      await store.commit('lower', 'a')
      const byTar = scratch.path(`tar-${fileSystem}`)
      mkdirSync(byTar)
      unpackedByTar(LOWER, byTar)
      // Times of directories that the archive does not name are those of the unpacking.
      const files = ['etc/passwd', 'etc/old', 'usr/bin/tool', 'usr/bin/link', 'dir/a', 'dir/b']
      const stat = (root: string) =>
        run('stat', ['-c', '%n %f %u %g %s %Y', ...files.map(file => path.join(root, file))])
      await store.withMounted('lower', async folder =>
        expect(stat(folder).replaceAll(folder, '')).toBe(stat(byTar).replaceAll(byTar, '')),
      )

      await store.prepare('b', 'lower')
      await store.applyLayer('b', inPieces(UPPER))
      const changes = await listed(store.changes('lower', 'b'))
      expect(changes).toEqual([
        'C /dir',
        'D /dir/a',
        'D /dir/b',
        'A /dir/c',
        'C /etc',
        'D /etc/old',
        'C /etc/passwd',
        'A /new',
      ])
      await store.commit('upper', 'b')
      const tar = await collected(store.diffLayer('upper'))
      expect(sha256(await collected(store.diffLayer('upper')))).toBe(sha256(tar))
      expect(
        run('tar', ['-tf', '-'], tar as never)
          .trim()
          .split('\n'),
      ).toContain('dir/.wh.a')

      await store.prepare('c', 'lower')
      await store.applyLayer('c', inPieces(tar))
      expect(await listed(store.changes('upper', 'c'))).toEqual([])
      // The root itself is not in the tar: only its own changes would be, and its time is no change.
      const tree = (key: string) => store.withMounted(key, async folder => lines(seen(folder)))
      expect(await tree('c')).toEqual(await tree('upper'))
      expect((await collected(store.diffLayer('lower'))).length).toBeGreaterThan(100_000)
    }))
})

test('an exported image is imported again as the same image', () =>
  withStore({}, async (store, { directory }) => {
    const file = scratch.path('image.tar')
    const name = 'docker.io/library/small:1'
    const layers = [
      { 'etc/base': 'base', 'etc/gone': 'gone' },
      { 'etc/top': 'top', 'etc/gone': null },
    ]
    makeImage({ folder: scratch.path('making'), name, busybox: '/bin/true', layers, archive: file })
    const image = await store.importImage(file)
    expect(image.name).toBe(name)
    expect(image.config['config']).toEqual({ Env: ['PATH=/bin'], Cmd: ['/bin/sh'] })
    expect(image.layers).toHaveLength(2)
    expect(await keysOf(store)).toEqual([...image.layers].sort())
    await store.withMounted(image.top, async folder => {
      expect(readFileSync(path.join(folder, 'etc/top'), 'utf8')).toBe('top')
      expect(existsSync(path.join(folder, 'etc/gone'))).toBe(false)
    })
    const again = await store.importImage(file, { name })
    expect(again.layers).toEqual(image.layers)
    // The layout as a directory.
    const layout = scratch.path('layout')
    mkdirSync(layout)
    run('tar', ['-C', layout, '-xf', file])
    expect((await store.importImage(layout)).layers).toEqual(image.layers)

    const out = scratch.path('out.tar')
    await pipeline(store.exportImage(image.top, { name, config: image.config }), createWriteStream(out))
    const first = sha256(readFileSync(out))
    await pipeline(store.exportImage(image.top, { name, config: image.config }), createWriteStream(out))
    expect(sha256(readFileSync(out))).toBe(first)
    const tree = (key: string) => store.withMounted(key, async folder => lines(seen(folder)))
    const before = await tree(image.top)
    for (const key of [...image.layers].reverse()) await store.remove(key)
    const back = await store.importImage(out)
    expect(back.config['config']).toEqual(image.config['config'])
    expect(await tree(back.top)).toEqual(before)
    // As `docker save` of before OCI: the same archive without its index.
    const old = scratch.path('old')
    mkdirSync(old)
    run('tar', ['-C', old, '-xf', out])
    rmSync(path.join(old, 'index.json'))
    const older = scratch.path('older.tar')
    run('tar', ['-C', old, '-cf', older, 'manifest.json', 'blobs'])
    expect((await store.importImage(older)).layers).toEqual(back.layers)
    expect(run('ls', [path.join(directory, 'staging')]).trim()).toBe('')
  }))

test('an export whose stream is destroyed leaves no mount, no volume and no file', () =>
  withStore({}, async (store, { directory, poolName }) => {
    await store.prepare('a', '')
    await store.withMounted('a', async folder => writeFileSync(path.join(folder, 'file'), randomBytes(40 * MiB)))
    await store.commit('layer', 'a')
    const before = thinIdsBy(poolName)
    const staging = path.join(directory, 'staging')
    const archive = store.exportImage('layer')
    while (!existsSync(staging) || readdirSync(staging).length === 0) await nextTurn()
    const file = path.join(staging, readdirSync(staging)[0]!, '0') // the layer, whose digest precedes it in the archive
    const sizeBytes = (): number => statSync(file, { throwIfNoEntry: false })?.size ?? 0
    while (sizeBytes() < 4 * MiB) await nextTurn()
    archive.destroy()
    for (let last = 0; readdirSync(staging).length > 0; last = sizeBytes()) {
      expect(last).toBeLessThan(20 * MiB)
      await nextTurn()
    }
    await store.remove('layer') // no mount of the export keeps it
    expect(await store.cleanup()).toEqual([])
    expect(thinIdsBy(poolName).length).toBeLessThan(before.length)
  }))

test('an image archive is read in place without space for its files, and a stream of it rejects with DM_LAYER_SPACE', () =>
  withStore({}, async (store, { directory }) => {
    const file = scratch.path('image.tar')
    const layers = [{ large: 'x'.repeat(MiB) }]
    makeImage({ folder: scratch.path('making'), name: 'a:1', busybox: '/bin/true', layers, archive: file })
    const compressed = scratch.path('image.tar.gz')
    writeFileSync(compressed, gzipSync(readFileSync(file)))
    const staging = path.join(directory, 'staging')
    mkdirSync(staging, { recursive: true })
    run('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'none', staging])
    try {
      await expectCode(store.importImage(inPieces(readFileSync(file))), 'DM_LAYER_SPACE')
      await expectCode(store.importImage(compressed), 'DM_LAYER_SPACE')
      const { top } = await store.importImage(file)
      expect(await store.withMounted(top, folder => readFile(path.join(folder, 'large')))).toHaveLength(MiB)
      await store.remove(top)
      expect(run('ls', [staging])).toBe('')
    } finally {
      run('umount', [staging])
    }
    for (const source of [inPieces(readFileSync(file)), compressed]) {
      const { top } = await store.importImage(source)
      await store.remove(top)
    }
  }))

test('an import discards no blocks, and the removal of its layers does', () =>
  withStore({}, async (store, { dataFile }) => {
    const file = scratch.path('image.tar')
    const layers = [{ large: 'x'.repeat(MiB) }, { large: 'y'.repeat(MiB) }]
    makeImage({ folder: scratch.path('making'), name: 'a:1', busybox: '/bin/true', layers, archive: file })
    const calls: string[] = []
    const listen = (message: unknown) => void calls.push((message as CallMessage).call)
    const erasures = () => calls.filter(call => call === 'blockErase' || call === 'trim').length
    const discarded = discardsOf(dataFile) // loop devices keep their counts from one file to the next
    subscribe('tracing:dm-thin:call:start', listen)
    try {
      const image = await store.importImage(file)
      expect([calls.includes('mountDetached'), erasures(), discardsOf(dataFile)]).toEqual([true, 0, discarded])
      for (const key of [...image.layers].reverse()) await store.remove(key)
      expect(await store.cleanup()).toEqual([])
      expect(erasures()).toBeGreaterThan(0)
      expect(discardsOf(dataFile)).toBeGreaterThan(discarded)
    } finally {
      unsubscribe('tracing:dm-thin:call:start', listen)
    }
  }))

describe('an untrusted archive', () => {
  const refused = (stream: AsyncIterable<Uint8Array>, code: string, options = {}) =>
    withStore({}, async (store, { poolName, dataFile }) => {
      await store.prepare('a', '')
      await store.commit('layer', 'a')
      await store.cleanup()
      run('sync', [])
      const used = statSync(dataFile).blocks
      await store.prepare('x', 'layer')
      await expectCode(store.applyLayer('x', stream, options), code as never)
      expect(await keysOf(store)).toEqual(['layer'])
      expect(await store.cleanup()).toEqual([])
      expect(thinIdsBy(poolName)).toHaveLength(2)
      run('sync', [])
      expect(statSync(dataFile).blocks).toBeLessThan(used + 2 * 2048) // less than 2 MiB more
    })
  const large = archive({ name: 'large', content: Buffer.alloc(8 * MiB, 5) })
  const damaged = Buffer.from(large)
  damaged[large.length - END.length - 1]! ^= 1

  test.each<[string, () => AsyncIterable<Uint8Array>, string, object]>([
    ['escapes by ..', () => inPieces(archive({ name: '../../etc/evil', content: 'x' })), 'DM_LAYER_TAR', {}],
    ['is cut off', () => inPieces(large.subarray(0, 4 * MiB)), 'DM_LAYER_TAR', {}],
    ['is larger than allowed', () => inPieces(large), 'DM_LAYER_LIMIT', { maxBytes: 4 * MiB }],
    ['has another digest', () => inPieces(large), 'DM_LAYER_DIGEST', { diffId: sha256(Buffer.from('other')) }],
    [
      'is damaged in the last byte of its content',
      () => inPieces(damaged),
      'DM_LAYER_DIGEST',
      { diffId: sha256(large) },
    ],
    ['is not an archive', () => inPieces(Buffer.alloc(100_000, 0x41)), 'DM_LAYER_TAR', {}],
    ['does not fit into the layer', () => largeFile('huge', 70 * MiB), 'DM_LAYER_SPACE', {}],
    [
      'has a device that is not permitted',
      () => inPieces(archive({ name: 'd', type: '3' })),
      'DM_LAYER_TAR',
      { devices: 'refuse' },
    ],
  ])('is rejected if it %s, its layer is removed and its space freed', (_, stream, code, options) =>
    refused(stream(), code, options),
  )

  test('is unpacked from its path too, and a path that is not there leaves the layer as it was', () =>
    withStore({}, async store => {
      const file = scratch.path('layer.tar')
      await store.prepare('a', '')
      await expectCode(store.applyLayer('a', file), 'DM_FILE_MISSING')
      expect(await keysOf(store)).toEqual(['a'])
      writeFileSync(file, damaged)
      await expectCode(store.applyLayer('a', file, { diffId: sha256(large) }), 'DM_LAYER_DIGEST')
      expect(await keysOf(store)).toEqual([])
      writeFileSync(file, large)
      await store.prepare('a', '')
      expect(await store.applyLayer('a', file)).toMatchObject({ digest: sha256(large), bytes: 8 * MiB })
      const content = await store.withMounted('a', folder => readFile(path.join(folder, 'large')))
      expect(sha256(content)).toBe(sha256(Buffer.alloc(8 * MiB, 5)))
    }))

  test('writes only inside the layer if it has a symbolic link in the middle of a name', () =>
    withStore({}, async store => {
      const outside = scratch.path('outside')
      mkdirSync(outside)
      await store.prepare('a', '')
      const bytes = archive({ name: 'way', type: '2', link: outside }, { name: 'way/evil', content: 'x' })
      await store.applyLayer('a', inPieces(bytes), { keepFailed: true }).catch(() => {})
      expect(existsSync(path.join(outside, 'evil'))).toBe(false)
    }))

  test('is rejected at the limit if it has no end', () =>
    withStore({}, async store => {
      await store.prepare('a', '')
      const piece = members({ name: 'same', content: Buffer.alloc(64 * 1024) })
      const endless = async function* () {
        for (;;) yield await Promise.resolve(piece)
      }
      await expectCode(store.applyLayer('a', endless(), { maxBytes: 16 * MiB }), 'DM_LAYER_LIMIT')
      await store.prepare('a', '')
      const controller = new AbortController()
      const aborting = async function* () {
        for (let given = 0; ; given += 1) {
          if (given === 100) controller.abort()
          yield await Promise.resolve(piece)
        }
      }
      await expectCode(store.applyLayer('a', aborting(), { signal: controller.signal }), 'ABORT_ERR')
      expect(await keysOf(store)).toEqual([])
    }))

  test('is rejected if it fills the pool, its layer is removed and its space freed', () =>
    withStore({ dataBytes: 48 * MiB }, async store => {
      scratch.log.allow(/low water mark/, /EXT4-fs (warning|error)/, /Buffer I\/O error/, /I\/O error/)
      await store.prepare('a', '')
      await expectCode(store.applyLayer('a', largeFile('fill', 58 * MiB)), 'DM_LAYER_SPACE')
      expect(await store.cleanup()).toEqual([])
      await store.prepare('b', '')
      await store.applyLayer('b', inPieces(LOWER))
    }))

  test('an image with wrong digests or invalid documents is rejected and leaves no layer', () =>
    withStore({}, async store => {
      const file = scratch.path('lies.tar')
      makeImage({
        folder: scratch.path('lying'),
        name: 'a:1',
        busybox: '/bin/true',
        layers: [{ a: 'a' }],
        archive: file,
      })
      const layout = scratch.path('lies')
      mkdirSync(layout)
      run('tar', ['-C', layout, '-xf', file])
      const index = JSON.parse(readFileSync(path.join(layout, 'index.json'), 'utf8')) as {
        manifests: { digest: string }[]
      }
      const manifest = path.join(layout, 'blobs/sha256', index.manifests[0]!.digest.slice(7))
      const good = readFileSync(manifest, 'utf8')
      writeFileSync(manifest, `${good} `)
      await expectCode(store.importImage(layout), 'DM_LAYER_DIGEST')
      const both = JSON.stringify({ ...(JSON.parse(good) as object), manifests: index.manifests })
      const name = sha256(Buffer.from(both))
      writeFileSync(path.join(layout, 'blobs/sha256', name.slice(7)), both)
      const listed = { ...index, manifests: [{ ...index.manifests[0], digest: name, size: Buffer.byteLength(both) }] }
      writeFileSync(path.join(layout, 'index.json'), JSON.stringify(listed))
      await expectCode(store.importImage(layout), 'DM_IMAGE')
      writeFileSync(path.join(layout, 'index.json'), JSON.stringify(index))
      writeFileSync(manifest, good)
      const { layers } = JSON.parse(good) as { layers: { digest: string }[] }
      const blob = path.join(layout, 'blobs/sha256', layers[0]!.digest.slice(7))
      const bytes = readFileSync(blob)
      bytes[bytes.indexOf('ustar') - 100]! ^= 1 // somewhere in a name
      writeFileSync(blob, bytes)
      await expect(store.importImage(layout)).rejects.toMatchObject({
        code: expect.stringMatching(/DM_LAYER_(DIGEST|TAR)/) as unknown,
      })
      expect(await keysOf(store)).toEqual([])
      await expectCode(store.importImage(layout, { name: 'other' }), 'DM_IMAGE')
      writeFileSync(path.join(layout, 'index.json'), '{')
      await expectCode(store.importImage(layout), 'DM_IMAGE')
      await expectCode(store.importImage(inPieces(archive({ name: 'x', content: 'x' }))), 'DM_IMAGE')
      await expectCode(store.importImage(inPieces(Buffer.alloc(10_000, 1))), 'DM_IMAGE')
      await expectCode(store.importImage(scratch.path('missing')), 'DM_FILE_MISSING')
    }))
})
