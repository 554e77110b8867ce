// What each mkfs makes is told as blkid tells it.
// @udev both
import { mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { detectFileSystem, KiB, LoopDevice, MiB } from '../../../lib/entry/index.js'
import { writeAt } from '../../helpers/kernel/blocks.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { run, tryRun } from '../../helpers/process/spawned.js'

const scratch = useScratch()
let made = 0

function image(bytes: number): string {
  const file = scratch.path(`detect-${++made}`)
  writeFileSync(file, '', { mode: 0o600 })
  truncateSync(file, bytes)
  return file
}

function folder(): string {
  const path = scratch.path(`content-${++made}`)
  mkdirSync(path)
  writeFileSync(`${path}/file`, 'content')
  return path
}

/** What blkid finds in the bytes themselves. */
function blkid(path: string): { type: string; label: string; uuid: string } {
  const value = (tag: string) =>
    tryRun('blkid', ['--probe', '--output', 'value', '--match-tag', tag, path]).stdout.trim()
  return { type: value('TYPE'), label: value('LABEL'), uuid: value('UUID') }
}

const luks = (type: string, label: string[] = []) =>
  [
    ['cryptsetup', 'luksFormat', '--batch-mode', '--type', type, '--pbkdf-force-iterations', '1000'],
    [
      ...(type === 'luks2' ? ['--pbkdf', 'pbkdf2'] : []),
      ...label,
      '--key-file',
      '/proc/self/exe',
      '--keyfile-size',
      '64',
    ],
  ].flat()

test.each<[string, number, string[], object]>([
  ['ext2', 16 * MiB, ['mkfs.ext2', '-q', '-L', 'a label'], { sizeBytes: 16 * MiB, blockBytes: 1024 }],
  ['ext3', 16 * MiB, ['mkfs.ext3', '-q', '-b', '4096', '-L', 'third'], { sizeBytes: 16 * MiB, blockBytes: 4096 }],
  ['ext4', 16 * MiB, ['mkfs.ext4', '-q', '-L', 'sixteen letters!'], { sizeBytes: 16 * MiB }],
  ['ext4', 16 * MiB, ['mkfs.ext4', '-q', '-O', '^has_journal'], { label: '' }],
  ['xfs', 320 * MiB, ['mkfs.xfs', '-q', '-L', 'twelve chars'], { sizeBytes: 320 * MiB, blockBytes: 4096 }],
  ['btrfs', 128 * MiB, ['mkfs.btrfs', '-q', '-L', 'ein Schild ä'], { sizeBytes: 128 * MiB, blockBytes: 4096 }],
  ['f2fs', 64 * MiB, ['mkfs.f2fs', '-q', '-l', 'größe'], { sizeBytes: 64 * MiB, blockBytes: 4096 }],
  ['vfat', 4 * MiB, ['mkfs.vfat', '-F', '12', '-n', 'TWELVE'], { sizeBytes: 4 * MiB, blockBytes: 512 }],
  ['vfat', 64 * MiB, ['mkfs.vfat', '-F', '16', '-n', 'SIXTEEN'], { sizeBytes: 64 * MiB }],
  ['vfat', 64 * MiB, ['mkfs.vfat', '-F', '32', '-n', 'THIRTY-TWO'], { sizeBytes: 64 * MiB }],
  ['vfat', 64 * MiB, ['mkfs.vfat', '-F', '32'], { label: '' }],
  ['swap', 4 * MiB, ['mkswap', '-q', '-L', 'swapped'], { sizeBytes: 4 * MiB, blockBytes: 4096 }],
  ['swap', 4 * MiB, ['mkswap', '-q', '-p', '65536'], { sizeBytes: 4 * MiB, blockBytes: 65536 }],
  ['crypto_LUKS', 32 * MiB, luks('luks1'), {}],
  ['crypto_LUKS', 32 * MiB, luks('luks2', ['--label', 'secret']), { label: 'secret' }],
])('detectFileSystem reports %s of %i bytes, by %p', async (type, bytes, [command = '', ...options], facts) => {
  const file = image(bytes)
  run(command, [...options, file])
  const found = await detectFileSystem(file)
  expect(found).toMatchObject({ ...blkid(file), type, alsoFound: [], ...facts })
  // The same through a block device, where reads go past the cache.
  const device = await LoopDevice.attach({ file, autoclear: true })
  expect(await detectFileSystem(device.path)).toEqual(found)
  await device.close()
  // udev looks at what is new, and the device is there for as long as it does.
  if (process.env['DM_THIN_UDEV'] === '1') run('udevadm', ['settle'])
})

test.each([
  ['squashfs', (content: string, file: string) => run('mksquashfs', [content, file, '-quiet', '-no-progress'])],
  ['erofs', (content: string, file: string) => run('mkfs.erofs', ['--quiet', '-L', 'read only', file, content])],
])('detectFileSystem reports %s of a folder as blkid does', async (type, make) => {
  const file = scratch.path(`detect-${++made}`)
  make(folder(), file)
  expect(await detectFileSystem(file)).toMatchObject({ ...blkid(file), type, alsoFound: [] })
})

test('detectFileSystem reports a physical volume of LVM as blkid does', async () => {
  const device = await LoopDevice.attach({ file: image(32 * MiB), autoclear: true })
  run('pvcreate', ['--devicesfile', '', '-qq', '-y', device.path])
  const found = await detectFileSystem(device.path)
  expect(found).toMatchObject({ ...blkid(device.path), type: 'LVM2_member', sizeBytes: 32 * MiB })
  await device.close()
  tryRun('udevadm', ['settle'])
})

test('detectFileSystem reports a label that was changed later', async () => {
  const file = image(64 * MiB)
  run('mkfs.vfat', ['-F', '16', '-n', 'FIRST', file])
  run('fatlabel', [file, 'SECOND'])
  expect(await detectFileSystem(file)).toMatchObject(blkid(file))
  expect(blkid(file).label).toBe('SECOND')
})

test('detectFileSystem reports the label in the boot sector of a FAT32 without a root folder', async () => {
  const file = image(64 * MiB)
  run('mkfs.vfat', ['-F', '32', '-n', 'LEFT', file])
  await writeAt(file, 44, Buffer.alloc(4))
  expect(await detectFileSystem(file)).toMatchObject({ type: 'vfat', label: 'LEFT' })
})

test('detectFileSystem returns undefined for blank, short and empty files and for noise', async () => {
  const random = scratch.path('random')
  writeFileSync(random, Buffer.alloc(MiB, 0xa5))
  const short = scratch.path('short')
  writeFileSync(short, 'XFS')
  for (const file of [image(MiB), image(0), random, short]) expect(await detectFileSystem(file)).toBeUndefined()
})

test('detectFileSystem reports an older magic in addition to the first, for which blkid reports nothing', async () => {
  const file = image(128 * MiB)
  run('mkfs.btrfs', ['-q', file])
  const device = await LoopDevice.attach({ file })
  // ext4 as an old mkfs wrote it: without wiping what was there.
  const other = image(16 * MiB)
  run('mkfs.ext4', ['-q', other])
  await writeAt(device.path, 0, readFileSync(other).subarray(0, 64 * KiB))
  await device.detach()
  expect(await detectFileSystem(file)).toMatchObject({ type: 'ext4', alsoFound: ['btrfs'] })
  expect(tryRun('blkid', ['--probe', file]).stdout).toBe('')
})

test('detectFileSystem rejects a missing file, a folder and an aborted signal', async () => {
  await expectCode(detectFileSystem(scratch.path('none')), 'DM_FILE_MISSING')
  expect(await expectCode(detectFileSystem(scratch.path('.')), 'DM_KERNEL')).toMatchObject({ errno: 21 })
  await expectCode(detectFileSystem(scratch.path('.'), { signal: AbortSignal.abort() }), 'ABORT_ERR')
})
