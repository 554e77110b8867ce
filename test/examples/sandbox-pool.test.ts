// The service of the example: what it gives out, what it refuses, and that it leaves nothing.
// @udev with
import { once } from 'node:events'
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import path from 'node:path'
import { Service } from '../helpers/process/sandbox-service.js'
import { useScratch } from '../helpers/kernel/scratch.js'
import { run } from '../helpers/process/spawned.js'

interface Sandbox {
  readonly id: string
  readonly path: string
  readonly sizeBytes: number
}
interface Status {
  readonly pool: { readonly mode: string; readonly data: { readonly usedBytes: number } }
  readonly layers: readonly { readonly key: string; readonly parent: string; readonly ownBytes: number }[]
  readonly sandboxes: readonly Sandbox[]
}
interface Refused {
  readonly code: string
  readonly message: string
  readonly holders?: readonly { readonly pid: number }[]
}

const MiB = 2 ** 20
const scratch = useScratch()
const machine = (): string => run('dmsetup', ['ls']) + run('losetup', ['--list', '--output', 'NAME,BACK-FILE'])
const mounts = (): string => readFileSync('/proc/self/mounts', 'utf8')
const make = async (service: Service): Promise<Sandbox> => (await service.ask<Sandbox>('POST', '/sandboxes')).body

/** Runs a service, and sees to it that its end is a clean one. */
async function withService(
  name: string,
  settings: Readonly<Record<string, string | number>>,
  body: (service: Service) => Promise<void>,
): Promise<void> {
  const before = machine()
  const directory = scratch.path(name)
  const service = await Service.start(directory, settings)
  try {
    await body(service)
  } catch (fault) {
    await service.end('SIGTERM')
    throw fault
  }
  const { code, lines, errors } = await service.end('SIGTERM')
  expect(errors).toBe('')
  expect(lines.at(-1)).toBe('all sandboxes are removed')
  expect(code).toBe(0)
  expect(mounts()).not.toContain(directory)
  expect(machine()).toBe(before)
  rmSync(directory, { recursive: true }) // a quarter of a gigabyte for the metadata of each
}

test('the metrics for Prometheus have the layers of the store, and the volumes of its pool as dmsetup counts them', () =>
  withService('metrics', {}, async service => {
    const { body } = await service.ask<Sandbox>('POST', '/sandboxes')
    writeFileSync(path.join(body.path, 'content'), Buffer.alloc(MiB, 1))
    const response = await fetch(new URL('/metrics', service.url))
    expect(response.headers.get('content-type')).toMatch(/^text\/plain/)
    const text = await response.text()
    const valueOf = (name: string) =>
      Number(new RegExp(`^${name}\\{pool="([^"]+)"[^}]*\\} (\\d+)$`, 'm').exec(text)?.[2])
    const pool = /^dm_thin_pool_up\{pool="([^"]+)"\} 1$/m.exec(text)?.[1]
    const [, , , , metadata = '', data = ''] = run('dmsetup', ['status', '--noflush', pool!]).split(' ')
    expect(valueOf('topolvm_thinpool_size_bytes')).toBe(64 * 1024 * Number(data.split('/')[1]))
    expect(valueOf('dm_thin_pool_metadata_size_bytes')).toBe(4096 * Number(metadata.split('/')[1]))
    expect(valueOf('dm_thin_store_layers')).toBeGreaterThan(1)
    expect(text.match(/^dm_thin_volume_mapped_bytes/gm)).toHaveLength(valueOf('dm_thin_pool_volumes'))
  }))

test('a sandbox is independent of others, and is deleted when it is returned', () =>
  withService('fresh', {}, async service => {
    const first = await service.ask<Sandbox>('POST', '/sandboxes')
    expect(first.status).toBe(201)
    const { id, path: folder, sizeBytes } = first.body
    expect(sizeBytes).toBe(64 * MiB)
    expect(readFileSync(path.join(folder, 'etc/motd'), 'utf8')).toBe('a fresh sandbox\n')
    expect(mounts()).toMatch(new RegExp(`${folder} ext4 rw,nosuid,nodev`))
    writeFileSync(path.join(folder, 'etc/motd'), 'changed')
    writeFileSync(path.join(folder, 'large'), Buffer.alloc(4 * MiB, 7))
    run('sync', [])

    const second = await make(service)
    expect(readFileSync(path.join(second.path, 'etc/motd'), 'utf8')).toBe('a fresh sandbox\n')
    expect((await service.ask<Sandbox[]>('GET', '/sandboxes')).body.map(each => each.id)).toEqual([id, second.id])
    const status = (await service.ask<Status>('GET', '/status')).body
    expect(status.pool.mode).toBe('rw')
    const own = new Map(status.layers.map(layer => [layer.key, layer.ownBytes]))
    expect([...own.keys()].sort()).toEqual(['base', `sandbox-${id}`, `sandbox-${second.id}`].sort())
    expect(own.get(`sandbox-${id}`)).toBeGreaterThanOrEqual(4 * MiB)
    expect(status.layers.filter(layer => layer.parent === 'base')).toHaveLength(2)

    expect((await service.ask('DELETE', `/sandboxes/${id}`)).status).toBe(204)
    expect(existsSync(folder)).toBe(false)
    const again = await service.ask<Refused>('DELETE', `/sandboxes/${id}`)
    expect([again.status, again.body.code]).toEqual([404, 'SANDBOX_NOT_FOUND'])
    const third = await make(service)
    expect(readFileSync(path.join(third.path, 'etc/motd'), 'utf8')).toBe('a fresh sandbox\n')
    // The second and the third are left to the end of the service.
  }))

test('requests beyond a limit and invalid requests are rejected with an error in JSON', () =>
  withService('limits', { MAX: 2, MAX_BYTES: 256 * MiB }, async service => {
    const refused = async (body: string, headers: Record<string, string> = {}) => {
      const answer = await service.ask<Refused>('POST', '/sandboxes', { body, headers })
      expect(answer.body.message).not.toBe('')
      return [answer.status, answer.body.code]
    }
    expect(await refused(JSON.stringify({ sizeBytes: 512 * MiB }))).toEqual([400, 'SANDBOX_SIZE'])
    expect(await refused(JSON.stringify({ sizeBytes: 32 * MiB }))).toEqual([400, 'DM_INVALID_ARGUMENT'])
    expect(await refused('{ "size": 1 }')).toEqual([400, 'SANDBOX_BODY'])
    expect(await refused('no JSON')).toEqual([400, 'SANDBOX_BODY'])
    expect(await refused('', { Origin: 'http://elsewhere.example' })).toEqual([403, 'SANDBOX_ORIGIN'])
    const nowhere = await service.ask<Refused>('GET', '/nowhere')
    expect([nowhere.status, nowhere.body.code]).toEqual([404, 'SANDBOX_ROUTE'])
    expect((await service.ask<Sandbox[]>('GET', '/sandboxes')).body).toEqual([])

    const large = await service.ask<Sandbox>('POST', '/sandboxes', { body: JSON.stringify({ sizeBytes: 128 * MiB }) })
    expect(large.body.sizeBytes).toBe(128 * MiB)
    const { blocks, bsize } = statfsSync(large.body.path)
    expect(blocks * bsize).toBeGreaterThan(96 * MiB)

    const answers = await Promise.all(Array.from({ length: 3 }, () => service.ask<Refused>('POST', '/sandboxes')))
    expect(answers.map(({ status }) => status).sort()).toEqual([201, 429, 429])
    const limit = answers.find(({ status }) => status === 429)!
    expect([limit.body.code, limit.headers.get('retry-after')]).toEqual(['SANDBOX_LIMIT', '1'])
  }))

test('a nearly full pool rejects new sandboxes', () =>
  withService('full', { FULL_PERCENT: 0 }, async service => {
    const answer = await service.ask<Refused>('POST', '/sandboxes')
    expect([answer.status, answer.body.code]).toEqual([503, 'SANDBOX_SPACE'])
  }))

test('a sandbox in use is not deleted, and the response names its holder', () =>
  withService('busy', {}, async service => {
    const { id, path: folder } = await make(service)
    const file = openSync(path.join(folder, 'etc/motd'), 'r')
    try {
      const answer = await service.ask<Refused>('DELETE', `/sandboxes/${id}`)
      expect([answer.status, answer.body.code]).toEqual([409, 'DM_BUSY'])
      expect(answer.body.holders).toContainEqual(expect.objectContaining({ pid: process.pid }))
      expect((await service.ask<Sandbox[]>('GET', '/sandboxes')).body).toHaveLength(1)
    } finally {
      closeSync(file)
    }
    expect((await service.ask('DELETE', `/sandboxes/${id}`)).status).toBe(204)
  }))

test('a client of the event stream receives every change until the service ends', async () => {
  const parts: string[] = []
  let reading: Promise<void> | undefined
  await withService('events', {}, async service => {
    const events = await fetch(`${service.url}/events`)
    expect(events.headers.get('content-type')).toBe('text/event-stream')
    const reader = events.body!.getReader()
    const next = async (): Promise<boolean> => {
      const { done, value } = (await reader.read()) as { done: boolean; value?: Uint8Array }
      if (value) parts.push(Buffer.from(value).toString())
      return !done
    }
    const told = () =>
      parts
        .join('')
        .split('\n\n')
        .slice(0, -1)
        .map(each => JSON.parse(each.replace(/^event: status\ndata: /, '')) as Status)
    while (told().length === 0 && (await next()));
    expect(told()[0]!.sandboxes).toEqual([])
    const { id } = await make(service)
    while (told().at(-1)!.sandboxes.length === 0 && (await next()));
    expect(
      told()
        .at(-1)!
        .sandboxes.map(each => each.id),
    ).toEqual([id])
    reading = (async () => {
      while (await next());
    })()
  })
  await reading // the service has ended the stream, and not broken it off
})

test('an idle connection does not keep the service from ending', async () => {
  let silent: Socket | undefined
  await withService('silent', {}, async service => {
    silent = connect(Number(/\d+$/.exec(service.url)![0]), '127.0.0.1')
    await once(silent, 'connect')
  })
  silent?.destroy()
})

test('the page is served with headers that restrict what a browser may load', () =>
  withService('page', {}, async service => {
    for (const [route, type] of [
      ['/', 'text/html'],
      ['/page.css', 'text/css'],
      ['/page.js', 'text/javascript'],
    ] as const) {
      const response = await fetch(service.url + route)
      expect([route, response.status]).toEqual([route, 200])
      expect(response.headers.get('content-type')).toBe(`${type}; charset=utf-8`)
      expect(response.headers.get('content-security-policy')).toContain("default-src 'self'")
      expect(await response.text()).not.toMatch(/https?:\/\/(?!www\.w3\.org\/2000\/svg)/)
    }
  }))

test('a new service removes the sandboxes of a killed one, and keeps its base', async () => {
  const source = scratch.path('source')
  mkdirSync(source)
  writeFileSync(path.join(source, 'release'), 'one')
  const directory = scratch.path('killed')
  const killed = await Service.start(directory, { BASE: source })
  const left = await make(killed)
  await make(killed)
  expect((await killed.end('SIGKILL')).code).toBeNull()
  expect(mounts()).toContain(left.path)

  writeFileSync(path.join(source, 'release'), 'two')
  const next = await Service.start(directory, { BASE: source })
  expect(mounts()).not.toContain(left.path)
  expect((await next.ask<Sandbox[]>('GET', '/sandboxes')).body).toEqual([])
  const status = (await next.ask<Status>('GET', '/status')).body
  expect(status.layers.map(({ key }) => key)).toEqual(['base'])
  const { path: folder } = await make(next)
  expect(readFileSync(path.join(folder, 'release'), 'utf8')).toBe('one')
  expect((await next.end('SIGTERM')).code).toBe(0)
  expect(mounts()).not.toContain(directory)
  rmSync(directory, { recursive: true })
})
