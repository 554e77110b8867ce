// A process killed at each step: the next open sees what it left, repairs it and says so; nothing leaks, no data is lost.
// @udev both
import { setTimeout as sleep } from 'node:timers/promises'
import { mkdirSync, rmSync } from 'node:fs'
import { MiB, ThinPool, type Finding } from '../../../lib/entry/index.js'
import { seedOf, writeBlock } from '../../helpers/kernel/blocks.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { runKilled, type Kill } from '../../helpers/fault/fault-child.js'
import { useFaults } from '../../helpers/fault/fault.js'
import { markedDevices, markedLoops } from '../../helpers/kernel/kernel-state.js'
import { takeDown, withPool } from '../../helpers/pool/pools.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { dmInfo, thinCheck } from '../../helpers/kernel/dmsetup.js'

const scratch = useScratch()
useFaults()
const SEED = 7

/** A pool with an active origin that has data; then the crash; then what open found; the volume must be usable. */
async function crashed(
  body: (pool: string) => string,
  kill: Kill,
  after: (pool: ThinPool, findings: readonly Finding[]) => Promise<void>,
): Promise<void> {
  await withPool(async ({ name }) => {
    const first = await ThinPool.open(name)
    const origin = await (await first.createVolume({ sizeBytes: 4 * MiB, id: 0 })).activate()
    await first.createVolume({ sizeBytes: 4 * MiB, id: 1 })
    await writeBlock(origin.path, 3, SEED)
    runKilled(body(name), kill)
    const pool = await ThinPool.open(name)
    await after(pool, pool.findings)
    expect(dmInfo(origin.name)?.suspended ?? false).toBe(false)
    const again = await pool.volume(0, { sizeBytes: 4 * MiB })
    if (!again.active) await again.activate()
    expect(await seedOf(again.path, 3, [SEED])).toBe(SEED)
    await writeBlock(again.path, 4, SEED)
    const other = await pool.volume(1, { sizeBytes: 4 * MiB })
    if (!other.active) await other.activate()
    await writeBlock(other.path, 0, SEED)
    expect((await ThinPool.open(name)).findings).toEqual([])
  })
}

/** udev may have been looking into a device when its owner died: it goes when udev closes it. */
async function loopsLeft(count: number) {
  for (let looks = 0; looks < 200 && markedLoops().length > count; looks++) await sleep(50)
  return markedLoops()
}

const openPool = (name: string) => `const pool = await dmThin.ThinPool.open(${JSON.stringify(name)})`
const ids = async (pool: ThinPool) => (await pool.volumes()).map(volume => volume.id)

describe('a process killed in an activation', () => {
  const activate = (name: string) => `
    ${openPool(name)}
    const volume = await pool.volume(1, { sizeBytes: ${4 * MiB} })
    armed()
    await volume.activate()`

  test.each([
    ['DM_DEV_CREATE', 'half-made-volume'],
    ['DM_TABLE_LOAD', 'half-made-volume'],
  ] as const)('leaves an incomplete device after %s, and open removes it', (operation, kind) =>
    crashed(activate, { operation, kind: 'kill-after' }, async (pool, findings) => {
      expect(findings).toEqual([{ kind, device: `${pool.name}-1`, action: 'removed' }])
      expect(dmInfo(`${pool.name}-1`)).toBeUndefined()
    }),
  )

  test.each(['DM_DEV_CREATE', 'DM_TABLE_LOAD'])(
    'leaves an incomplete device after %s, and a pool object that is open replaces it at the activation',
    operation =>
      withPool(async (pool, { name }) => {
        await pool.createVolume({ sizeBytes: 4 * MiB, id: 0 })
        const volume = await pool.createVolume({ sizeBytes: 4 * MiB, id: 1 })
        runKilled(activate(name), { operation, kind: 'kill-after' })
        expect(dmInfo(`${name}-1`)).toBeDefined()
        expect((await pool.volume(1, { sizeBytes: 4 * MiB })).active).toBe(false)
        await volume.activate()
        await writeBlock(volume.path, 0, SEED)
        expect(await seedOf(volume.path, 0, [SEED])).toBe(SEED)
      }),
  )

  test('leaves an active volume after DM_DEV_RESUME, and open reports it as active', () =>
    crashed(activate, { operation: 'DM_DEV_RESUME', kind: 'kill-after' }, async (pool, findings) => {
      expect(findings).toEqual([])
      expect((await pool.volume(1)).active).toBe(true)
    }))
})

describe('a process killed in a snapshot of an active origin', () => {
  const snapshot = (name: string) => `
    ${openPool(name)}
    const origin = await pool.volume(0)
    armed()
    await origin.snapshot({ id: 9 })`
  const resumed = (pool: ThinPool) => [
    { kind: 'suspended-volume', device: `${pool.name}-0`, action: 'resumed' } satisfies Finding,
  ]

  test('leaves no snapshot between suspend and message, and open resumes the origin', () =>
    crashed(snapshot, { operation: 'DM_TARGET_MSG', kind: 'kill-before' }, async (pool, findings) => {
      expect(findings).toEqual(resumed(pool))
      expect(await ids(pool)).toEqual([0, 1])
    }))

  test('leaves a snapshot with its data between message and resume, and open resumes the origin', () =>
    crashed(snapshot, { operation: 'DM_DEV_RESUME', kind: 'kill-before' }, async (pool, findings) => {
      expect(findings).toEqual(resumed(pool))
      expect(await ids(pool)).toEqual([0, 1, 9])
      const made = await (await pool.volume(9, { sizeBytes: 4 * MiB })).activate()
      expect(await seedOf(made.path, 3, [SEED])).toBe(SEED)
    }))

  test('leaves everything unchanged before the suspend', () =>
    crashed(snapshot, { operation: 'DM_DEV_SUSPEND', kind: 'kill-before' }, async (pool, findings) => {
      expect(findings).toEqual([])
      expect(await ids(pool)).toEqual([0, 1])
    }))
})

describe('a process killed in a removal of the device of a volume', () => {
  const deactivate = (name: string) => `
    ${openPool(name)}
    const volume = await pool.volume(0)
    armed()
    await volume.deactivate()`

  test('leaves a suspended volume between suspend and removal, and open resumes it', () =>
    crashed(deactivate, { operation: 'DM_DEV_REMOVE', kind: 'kill-before' }, async (pool, findings) => {
      expect(findings).toEqual([{ kind: 'suspended-volume', device: `${pool.name}-0`, action: 'resumed' }])
      expect((await pool.volume(0)).active).toBe(true)
    }))

  test('leaves an inactive volume after the removal', () =>
    crashed(deactivate, { operation: 'DM_DEV_REMOVE', kind: 'kill-after' }, async (pool, findings) => {
      expect(findings).toEqual([])
      expect((await pool.volume(0)).active).toBe(false)
    }))
})

describe('a process killed in a fork of an active origin', () => {
  const fork = (name: string) => `
    ${openPool(name)}
    const origin = await pool.volume(0)
    armed()
    await pool.fork(origin, [7, 8, 9])`

  test.each([
    [{ operation: 'DM_TARGET_MSG', kind: 'kill-before' }, [], ['suspended-volume']],
    [{ operation: 'DM_DEV_RESUME', kind: 'kill-before' }, [7], ['suspended-volume']],
    [{ operation: 'DM_TARGET_MSG', nth: 2, kind: 'kill-before' }, [7], []],
    [{ operation: 'DM_TARGET_MSG', nth: 3, kind: 'kill-after' }, [7, 8, 9], []],
    [{ operation: 'DM_TABLE_LOAD', nth: 2, kind: 'kill-after' }, [7, 8, 9], ['half-made-volume']],
    [{ operation: 'DM_DEV_RESUME', nth: 4, kind: 'kill-after' }, [7, 8, 9], []],
  ] as const)(
    'leaves at %j the forks %j with the data of the origin, and open resumes the origin',
    (kill, left, kinds) =>
      crashed(fork, kill, async (pool, findings) => {
        expect([...new Set(findings.map(({ kind }) => kind))]).toEqual(kinds)
        expect(await ids(pool)).toEqual([0, 1, ...left])
        for (const id of left) {
          const forked = await pool.volume(id, { sizeBytes: 4 * MiB })
          if (!forked.active) await forked.activate()
          expect(await seedOf(forked.path, 3, [SEED])).toBe(SEED)
        }
      }),
  )
})

describe('a process killed while it creates or removes a pool', () => {
  let name: string
  let folder: string
  const sources = () => ({
    data: { file: `${folder}/data`, sizeBytes: 16 * MiB },
    metadata: { file: `${folder}/metadata`, sizeBytes: 2 * MiB },
  })
  const create = () => `armed(); await dmThin.ThinPool.create(${JSON.stringify({ name, ...sources() })})`

  beforeEach(() => {
    name = scratch.name('crash')
    folder = scratch.path(name)
    mkdirSync(folder)
  })
  afterEach(async () => {
    await takeDown(name)
    if (markedDevices().length === 0) thinCheck(`${folder}/metadata`)
    rmSync(folder, { recursive: true })
  })

  test('leaves no loop device after LOOP_CONFIGURE, and create succeeds with its files', async () => {
    runKilled(create(), { operation: 'LOOP_CONFIGURE', nth: 2, kind: 'kill-after' })
    expect(await loopsLeft(0)).toEqual([])
    await ThinPool.create({ name, ...sources() })
  })

  test('leaves a device after DM_DEV_CREATE that open removes before it rejects, and create succeeds', async () => {
    runKilled(create(), { operation: 'DM_DEV_CREATE', kind: 'kill-after' })
    expect(await loopsLeft(0)).toEqual([])
    await expectCode(ThinPool.open({ name, ...sources() }), 'DM_METADATA_BLANK')
    expect(markedDevices()).toEqual([])
    await ThinPool.create({ name, ...sources() })
  })

  test('leaves a device after DM_TABLE_LOAD that open completes', async () => {
    runKilled(create(), { operation: 'DM_TABLE_LOAD', kind: 'kill-after' })
    const pool = await ThinPool.open({ name, ...sources() })
    expect((await pool.status()).mode).toBe('rw')
    expect(await ids(pool)).toEqual([])
  })

  test('leaves a running pool after DM_DEV_RESUME that open adopts', async () => {
    runKilled(create(), { operation: 'DM_DEV_RESUME', kind: 'kill-after' })
    const pool = await ThinPool.open({ name, ...sources() })
    expect(pool.findings).toEqual([])
    expect((await pool.status()).mode).toBe('rw')
  })

  test.each([1, 2])('leaves devices after DM_DEV_REMOVE number %i that the next remove removes', async nth => {
    const made = await ThinPool.create({ name, ...sources() })
    await (await made.createVolume({ sizeBytes: MiB, id: 0 })).activate()
    runKilled(`${openPool(name)}; armed(); await pool.remove({ deactivate: true })`, {
      operation: 'DM_DEV_REMOVE',
      nth,
      kind: 'kill-after',
    })
    expect(markedDevices().map(device => device.name)).toEqual(nth === 1 ? [name] : [])
    const left = nth === 1 ? 2 : 0
    expect(await loopsLeft(left)).toHaveLength(left)
    const pool = await ThinPool.open({ name, ...sources() })
    expect(pool.findings).toEqual([])
    expect(await ids(pool)).toEqual([0])
  })
})
