// The kernel's own fault: a block that a volume is given, and whose first write the device below refuses, stays allocated.
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { MiB, mount, ThinPool, unmount } from '../../../lib/entry/index.js'
import { directWrite } from '../../helpers/kernel/blocks.js'
import { thinCheck } from '../../helpers/kernel/dmsetup.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { run, tryRun } from '../../helpers/process/spawned.js'

const scratch = useScratch()

test('a block whose first write the disk below a full file system refuses leaks until thin_repair', async () => {
  scratch.log.allow(/I\/O error/)
  const disk = scratch.path('disk')
  mkdirSync(disk)
  await mount({ source: 'tmpfs', target: disk, type: 'tmpfs', data: 'size=4m' })
  const metadata = scratch.path('metadata.img')
  const pool = await ThinPool.create({
    name: scratch.name('refused'),
    data: { file: path.join(disk, 'data.img'), sizeBytes: 64 * MiB },
    metadata: { file: metadata, sizeBytes: 4 * MiB },
  })
  const volume = await pool.createVolume({ sizeBytes: 64 * MiB })
  await volume.activate()
  expect(directWrite(volume.path, 0)).toBe('')
  // Whatever the file system still takes.
  tryRun('dd', ['if=/dev/zero', `of=${disk}/ballast`, 'bs=64k', 'count=1000000', 'status=none'])
  for (const block of [100, 200, 300]) expect(directWrite(volume.path, block)).toMatch(/Input\/output error/)
  const { mappedBytes } = await volume.status()
  expect(mappedBytes).toBe(65536)
  expect((await pool.status()).data?.usedBytes).toBe(4 * 65536)
  await pool.remove({ deactivate: true })
  await unmount(disk)

  const check = tryRun('thin_check', [metadata])
  expect(check.status).not.toBe(0)
  expect(check.stdout + check.stderr).toContain('3 data blocks have leaked')
  const repaired = scratch.path('repaired.img')
  writeFileSync(repaired, Buffer.alloc(4 * MiB))
  run('thin_repair', ['--input', metadata, '--output', repaired])
  thinCheck(repaired)
})
