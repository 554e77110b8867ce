// Layers as they are: a base on ext4, its snapshot, both mounted. Inodes and their times are the same in both until
// somebody writes, and that is what the walk goes by.
import { appendFileSync, chmodSync, linkSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { buffer } from 'node:stream/consumers'
import { MiB, mount, type ThinVolume, unmount } from '../../../../lib/entry/index.js'
import { changes } from '../../../../lib/store/compare/changes.js'
import { diffTar } from '../../../../lib/store/tar-write/diff-tar.js'
import { withPool } from '../../../helpers/pool/pools.js'
import { useScratch } from '../../../helpers/kernel/scratch.js'
import { run } from '../../../helpers/process/spawned.js'
import { applyLayer, listed } from '../../../helpers/tree/tar.js'
import { changesBetween, survey } from '../../../helpers/tree/trees.js'
import { setExtendedAttribute } from '../../../helpers/tree/xattrs.js'

const scratch = useScratch()

const mounted = async (volume: ThinVolume): Promise<string> => {
  const target = scratch.path(volume.name)
  mkdirSync(target)
  await mount({ source: volume.path, target, type: 'ext4' })
  return target
}

/** Runs `use` with a mounted base that has some files, and its mounted child. */
async function withLayers(use: (base: string, child: string, again: () => Promise<string>) => Promise<void>) {
  await withPool(async pool => {
    const base = await (await pool.createVolume({ sizeBytes: 32 * MiB })).activate()
    run('mkfs.ext4', ['-q', base.path])
    const lower = await mounted(base)
    rmSync(`${lower}/lost+found`, { recursive: true })
    mkdirSync(`${lower}/etc/deep`, { recursive: true })
    mkdirSync(`${lower}/data`)
    for (const name of ['one', 'two', 'three', 'four']) writeFileSync(`${lower}/etc/${name}`, `content of ${name}`)
    writeFileSync(`${lower}/etc/deep/file`, 'deep')
    writeFileSync(`${lower}/data/below`, 'hidden by a mount')
    const volumes = [base]
    const child = async () => {
      const volume = await base.snapshot({ activate: true })
      volumes.push(volume)
      return mounted(volume)
    }
    await use(lower, await child(), child)
    for (const each of volumes.reverse()) await unmount(scratch.path(each.name))
    await pool.deactivateMany(volumes)
  })
}

test('changes() skips what was not written, and finds what was written under its old time', async () => {
  await withLayers(async (lower, upper) => {
    expect(await changes(lower, upper)).toEqual([])
    // Changed and changed back: only the time of change differs.
    chmodSync(`${upper}/etc/one`, 0)
    chmodSync(`${upper}/etc/one`, statSync(`${lower}/etc/one`).mode)
    expect(await changes(lower, upper)).toEqual([])
    // Other content of the same size under the old time.
    writeFileSync(`${upper}/etc/two`, 'CONTENT OF TWO')
    run('touch', ['-r', `${lower}/etc/two`, `${upper}/etc/two`])
    expect(statSync(`${upper}/etc/two`).size).toBe(statSync(`${lower}/etc/two`).size)
    appendFileSync(`${upper}/etc/deep/file`, ' and more')
    setExtendedAttribute(`${upper}/etc/three`, 'user.note', Buffer.from([0xff]))
    rmSync(`${upper}/etc/four`)
    const found = await changes(lower, upper)
    expect(found.map(({ kind, path }) => `${kind} ${path}`)).toEqual([
      'C /etc',
      'C /etc/deep',
      'C /etc/deep/file',
      'D /etc/four',
      'C /etc/three',
      'C /etc/two',
    ])
    expect(found.map(({ kind, path }) => `${kind} ${path}`)).toEqual(changesBetween(survey(lower), survey(upper)))
  })
})

test('the tar of a child is unpacked over another child of the same base with the same result', async () => {
  await withLayers(async (lower, upper, again) => {
    const other = await again()
    writeFileSync(`${upper}/etc/new`, 'new')
    linkSync(`${upper}/etc/one`, `${upper}/data/one`)
    rmSync(`${upper}/etc/deep`, { recursive: true })
    const tar = await buffer(diffTar(lower, upper))
    expect(listed(tar)).toEqual(['5 data/', '1 data/one -> etc/one', '5 etc/', '0 etc/.wh.deep', '0 etc/new'])
    applyLayer(tar, other)
    expect(survey(other)).toEqual(survey(upper))
    expect(await changes(upper, other)).toEqual([])
  })
})

test('changes() and diffTar() read what lies below a mount, and not the mount', async () => {
  await withLayers(async (lower, upper) => {
    for (const target of [`${upper}/data`, `${lower}/etc`]) {
      await mount({ source: 'tmpfs', target, type: 'tmpfs' })
      writeFileSync(`${target}/other`, 'of the mount')
    }
    try {
      expect(await changes(lower, upper)).toEqual([])
      expect(listed(await buffer(diffTar(undefined, upper)))).toContain('0 data/below')
    } finally {
      for (const target of [`${upper}/data`, `${lower}/etc`]) await unmount(target)
    }
  })
})

test('changes() and diffTar() write nothing, not even access times', async () => {
  await withLayers(async (lower, upper) => {
    run('mount', ['-o', 'remount,strictatime', upper])
    run('touch', ['-a', '-d', '2001-01-01', `${upper}/etc/one`, `${upper}/etc`])
    await buffer(diffTar(undefined, upper))
    expect([`${upper}/etc/one`, `${upper}/etc`].map(each => statSync(each).atime.getUTCFullYear())).toEqual([
      2001, 2001,
    ])
    expect(readFileSync(`${upper}/etc/one`, 'utf8')).toBe('content of one')
    expect(lower).not.toBe(upper)
  })
})
