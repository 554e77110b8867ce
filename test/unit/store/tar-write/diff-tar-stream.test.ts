// A layer's tar as a stream: large and many files, whoever is slow or walks away, and trees that change meanwhile.
import {
  appendFileSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { once } from 'node:events'
import type { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { diffTar } from '../../../../lib/store/tar-write/diff-tar'
import { expectCode } from '../../../helpers/errors/expect-code'
import { run } from '../../../helpers/process/spawned'
import { readTar } from '../../../helpers/tree/tar'
import { useTemporary } from '../../../helpers/tree/trees'

const temporary = useTemporary()
const descriptors = () => readdirSync('/proc/self/fd').length

describe('diffTar of large and many files', () => {
  const made = () => {
    const upper = temporary('upper')
    mkdirSync(upper)
    const content = Buffer.from(Array.from({ length: 2_500_001 }, (_, index) => index * 7))
    writeFileSync(`${upper}/large`, content)
    writeFileSync(`${upper}/holes`, 'begin')
    truncateSync(`${upper}/holes`, 3_000_000)
    for (let index = 0; index < 1500; index++) writeFileSync(`${upper}/file-${index}`, `content ${index}`)
    return { upper, content }
  }

  test('packs whole files, with holes as zeros', async () => {
    const { upper, content } = made()
    const told: { entries: number; totalEntries: number; bytes: number }[] = []
    const entries = readTar(await buffer(diffTar(undefined, upper, { onProgress: each => told.push(each) })))
    const contents = new Map(entries.map(each => [each.name, each.content]))
    expect(contents.get('large')!.equals(content)).toBe(true)
    expect(contents.get('holes')!.equals(Buffer.concat([Buffer.from('begin'), Buffer.alloc(2_999_995)]))).toBe(true)
    for (let index = 0; index < 1500; index++)
      expect(contents.get(`file-${index}`)!.toString()).toBe(`content ${index}`)
    const bytes = entries.reduce((sum, each) => sum + each.size, 0)
    expect(told.at(-1)).toEqual({ entries: entries.length, totalEntries: entries.length, bytes })
    expect(told.length).toBeGreaterThan(5)
  })

  test('reads files only as fast as the stream is consumed', async () => {
    const { upper } = made()
    let bytes = 0
    const tar = diffTar(undefined, upper, { onProgress: progress => void (bytes = progress.bytes) })
    await once(tar, 'readable')
    for (let turn = 0; turn < 50; turn++) await new Promise(resolve => setTimeout(resolve, 2))
    expect(bytes).toBeLessThan(3_000_000)
    expect((await buffer(tar)).length).toBeGreaterThan(5_500_000)
  })

  test('ends the stream and closes all files if it is aborted at any moment', async () => {
    const { upper } = made()
    const before = descriptors()
    for (const compression of ['none', 'gzip'] as const) {
      const stop = new AbortController()
      const tar = diffTar(undefined, upper, {
        compression,
        signal: stop.signal,
        onProgress: () => stop.abort('enough'),
      })
      const error = await expectCode(buffer(tar), 'ABORT_ERR')
      expect(error.cause).toBe('enough')
      await closed(tar)
    }
    await expectCode(buffer(diffTar(undefined, upper, { signal: AbortSignal.abort() })), 'ABORT_ERR')
    expect(await settledDescriptors(before)).toBe(before)
  })

  test('leaves no file open if the consumer stops early', async () => {
    const { upper } = made()
    const before = descriptors()
    for (const chunks of [0, 1, 5, 40]) {
      const tar = diffTar(undefined, upper).on('error', () => {})
      let left = chunks
      if (left > 0) for await (const _ of tar) if (--left === 0) break
      tar.destroy()
      await closed(tar)
      expect(descriptors()).toBe(before)
    }
  })

  // Also of one that ends with an error, which whoever walks away gives it.
  const closed = (stream: Readable) =>
    new Promise<void>(resolve => (stream.closed ? resolve() : stream.once('close', resolve)))
  // The stream that gzip reads from closes in a turn of its own.
  async function settledDescriptors(wanted: number): Promise<number> {
    for (let turn = 0; turn < 200 && descriptors() !== wanted; turn++) await new Promise(done => setTimeout(done, 5))
    return descriptors()
  }
})

describe('diffTar of a tree that changes during the call', () => {
  const slowly = () => {
    const upper = temporary('upper')
    mkdirSync(upper)
    writeFileSync(`${upper}/a`, Buffer.alloc(3_000_000))
    writeFileSync(`${upper}/b`, 'later')
    return upper
  }

  test.each<[string, (root: string) => void]>([
    ['is written to', root => appendFileSync(`${root}/b`, 'more')],
    ['is overwritten at the same size', root => writeFileSync(`${root}/b`, 'LATER')],
    ['is deleted', root => rmSync(`${root}/b`)],
    [
      'is replaced by another file',
      root => {
        writeFileSync(`${root}/c`, 'later')
        renameSync(`${root}/c`, `${root}/b`)
      },
    ],
    [
      'is replaced by a symbolic link',
      root => {
        rmSync(`${root}/b`)
        symlinkSync('/etc/passwd', `${root}/b`)
      },
    ],
    [
      'is replaced by a pipe',
      root => {
        rmSync(`${root}/b`)
        run('mkfifo', [`${root}/b`])
      },
    ],
    ['is truncated while it is read', root => truncateSync(`${root}/a`, 1)],
    ['has its times set', root => utimesSync(`${root}/b`, 1, 1)],
  ])('rejects with DM_LAYER_CHANGED if a file %s', async (_what, change) => {
    const upper = slowly()
    let told = false
    const onProgress = () => {
      if (told) return
      told = true
      change(upper)
    }
    const before = descriptors()
    const tar = diffTar(undefined, upper, { onProgress })
    const error = await expectCode(buffer(tar), 'DM_LAYER_CHANGED')
    expect(error.device).toMatch(/^\/[ab]$/)
    expect(descriptors()).toBe(before)
  })
})
