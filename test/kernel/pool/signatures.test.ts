// Scenario                                                  Test
// C4 create takes a device that holds a file system         create on data with %s rejects …
// C4 udev and others at work on the node                    create waits for a node that another process …
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync, truncateSync, writeFileSync, writeSync } from 'node:fs'
import { createHash } from 'node:crypto'
import { LoopDevice, MiB, ThinPool, type CreatePoolOptions } from '../../../lib/entry/index.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { snapshotKernelState } from '../../helpers/kernel/kernel-state.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { run, tryRun } from '../../helpers/process/spawned.js'

const scratch = useScratch()
let made = 0

function image(bytes = 32 * MiB): string {
  const file = scratch.path(`image-${++made}`)
  writeFileSync(file, '')
  truncateSync(file, bytes)
  return file
}

const hashOf = (file: string): string => createHash('sha256').update(readFileSync(file)).digest('hex')

function put(file: string, at: number, bytes: string): void {
  const fd = openSync(file, 'r+')
  writeSync(fd, Buffer.from(bytes, 'latin1'), 0, undefined, at)
  closeSync(fd)
}

const SIGNATURES: [type: string, sign: (file: string) => unknown][] = [
  ['ext4', file => run('mkfs.ext4', ['-q', file])],
  ['vfat', file => run('mkfs.vfat', [file])],
  ['swap', file => run('mkswap', ['-q', file])],
  ['zfs_member', file => put(file, 32 * MiB - 128 * 1024, '\x0c\xb1\xba\0\0\0\0\0')],
  ['gpt', file => put(file, 32 * MiB - 512, 'EFI PART')],
  ['dos', file => put(file, 510, '\x55\xaa')],
]

async function onLoops(body: (options: CreatePoolOptions, data: string, metadata: string) => Promise<void>) {
  const [data, metadata] = [image(), image(4 * MiB)]
  const [one, other] = [await LoopDevice.attach({ file: data }), await LoopDevice.attach({ file: metadata })]
  const options = { name: scratch.name('pool'), data: { device: one.path }, metadata: { device: other.path } }
  try {
    await body(options, data, metadata)
  } finally {
    await one.detach()
    await other.detach()
  }
}

test.each(SIGNATURES)(
  'create on data with %s rejects with DM_SIGNATURE_FOUND and writes nothing; format overwrite erases the signature',
  (type, sign) =>
    onLoops(async (options, data) => {
      sign(data)
      const [before, state] = [hashOf(data), await snapshotKernelState()]
      const fault = await expectCode(ThinPool.create(options), 'DM_SIGNATURE_FOUND')
      expect(fault).toMatchObject({ detail: type })
      expect([hashOf(data), await snapshotKernelState()]).toEqual([before, state])
      const pool = await ThinPool.create({ ...options, format: 'overwrite' })
      expect(await pool.status()).toMatchObject({ mode: 'rw' })
      await pool.remove()
      expect(tryRun('blkid', ['-p', data]).status).toBe(2) // finds nothing
    }),
)

test('create rejects files with a signature at the start of data or at the end of metadata', async () => {
  const [data, metadata] = [image(), image(4 * MiB)]
  const options = { name: scratch.name('pool'), data: { file: data }, metadata: { file: metadata } }
  run('mkfs.ext4', ['-q', data])
  expect((await expectCode(ThinPool.create(options), 'DM_SIGNATURE_FOUND')).message).toContain('data')
  const other = image()
  put(metadata, 4 * MiB - 512, 'EFI PART')
  const fault = await expectCode(ThinPool.create({ ...options, data: { file: other } }), 'DM_SIGNATURE_FOUND')
  expect(fault.message).toContain('metadata')
  expect(await snapshotKernelState()).toBe('')
})

test('create waits for a node that another process has locked, can be aborted, and continues after the release', () =>
  onLoops(async options => {
    const { device } = options.data as { device: string }
    const locker = spawn('flock', ['--exclusive', device, 'sh', '-c', 'echo locked; read line'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    await once(locker.stdout, 'data')
    const before = await snapshotKernelState()
    const aborted = new AbortController()
    const given = ThinPool.create({ ...options, signal: aborted.signal })
    const seen = expectCode(given, 'ABORT_ERR')
    setTimeout(() => aborted.abort(), 100)
    await seen
    expect(await snapshotKernelState()).toBe(before)
    const made = ThinPool.create(options)
    locker.stdin.end('\n')
    await once(locker, 'exit')
    await (await made).remove()
  }))
