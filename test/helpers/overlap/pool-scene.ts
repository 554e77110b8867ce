// The pool on which calls of two processes overlap: as it is before each two calls, and what may be wrong after them.
import { existsSync, rmSync } from 'node:fs'
import { KiB, MiB, SECTOR_BYTES, ThinPool } from '../../../lib/entry/index.js'
import { markedDevices } from '../kernel/kernel-state.js'
import { tryRun } from '../process/spawned.js'
import { thinIdsBy } from '../store/stores.js'
import { callsOf, type Ended, type OverlapCall } from './calls.js'
import type { Processes, Scene } from './overlap.js'
import { sysfsDevices, sysfsLoops } from './sysfs.js'

const { RUNNING, AT_REST } = callsOf('pool-calls.cjs')
/** Calls on a pool that runs. */
export const ON_POOL = RUNNING!
/** Calls on the files of a pool that does not. */
export const ON_FILES = AT_REST!
const CALLS: Record<string, OverlapCall> = { ...ON_POOL, ...ON_FILES }

const VOLUME = { sizeBytes: MiB }

/** What the calls that grow are given. */
export interface GrowthInput {
  readonly dataBytes: number
  readonly metadataBytes: number
  /** Of volume 0. */
  readonly volumeBytes: number
}

export class PoolScene implements Scene {
  readonly #name: string
  readonly #other: string
  readonly #files: readonly string[]
  readonly #options
  /** Uuid of the pool that the processes have open; empty if there is none. */
  #known = ''
  /** The same pool, as this process has it open. */
  #pool!: ThinPool
  #isChanged = true

  /** `other`: another name for a pool on the same files. */
  constructor(name: string, other: string, files: { readonly data: string; readonly metadata: string }) {
    this.#name = name
    this.#other = other
    this.#files = Object.values(files)
    const [data, metadata] = [files.data, files.metadata].map(file => ({ file, sizeBytes: 16 * MiB }))
    this.#options = { name, data: data!, metadata: metadata! }
  }

  /** A pool with volume 0, which is active, and volume 1, which is not: restores what the last calls have changed. */
  async restored(processes: Processes): Promise<GrowthInput> {
    const isNew = this.#known === '' || this.#uuid() !== this.#known
    if (isNew) await this.#start()
    const pool = this.#pool
    if (isNew || this.#isChanged) {
      const volumes = await pool.volumes()
      for (const id of [0, 1])
        if (!volumes.some(each => each.id === id)) volumes.push(await pool.createVolume({ id, ...VOLUME }))
      for (const volume of volumes) {
        if (volume.id === 0 && !volume.active) await volume.activate(VOLUME)
        if (volume.id === 1 && volume.active) await volume.deactivate()
      }
      this.#isChanged = false
      await this.#prepare(processes, { isNew, running: true })
    }
    const { transactionId, data, metadata } = await pool.status()
    if (transactionId! > 0n) await pool.setTransactionId({ currentId: transactionId!, newId: 0n })
    const volume = sysfsDevices([`${this.#name}-0`])[0]!
    return {
      dataBytes: data!.totalBytes + 64 * KiB,
      metadataBytes: metadata!.totalBytes + 256 * KiB,
      volumeBytes: volume.sectors * SECTOR_BYTES + 64 * KiB,
    }
  }

  /** The same scene, but without a pool: see `atRest`. */
  resting(withFiles: boolean): Scene {
    const restored = (processes: Processes) => this.atRest(processes, withFiles)
    return { restored, faults: ended => this.faults(ended), faultsOfPair: () => Promise.resolve([]) }
  }

  /** Nothing runs. The files are those of a pool, or missing. */
  async atRest(processes: Processes, withFiles: boolean): Promise<object> {
    await this.#takeDown()
    if (!withFiles) this.#removeFiles()
    else if (!this.#files.every(existsSync)) await (await this.#create()).remove()
    await this.#prepare(processes, { running: false })
    return {}
  }

  /** Removes every pool, has the metadata checked, and removes the files. Returns what thin_check says against it. */
  async end(): Promise<string[]> {
    await this.#takeDown()
    const { status, stdout, stderr } = tryRun('thin_check', [this.#options.metadata.file])
    this.#removeFiles()
    this.#known = ''
    return status === 0 ? [] : [`thin_check: ${stderr}${stdout}`]
  }

  /** What is wrong after two calls, as far as it shows at once. */
  async faults(ended: readonly Ended[], { dataBytes, metadataBytes }: Partial<GrowthInput> = {}): Promise<string[]> {
    const faults = ended.flatMap(faultsOfAnswer)
    const devices = sysfsDevices([this.#name, this.#other])
    for (const { name, suspended, sectors } of devices) {
      if (suspended) faults.push(`${name} is suspended`)
      if (sectors === 0) faults.push(`${name} has no table`)
    }
    const pools = devices.map(({ name }) => name).filter(name => name === this.#name || name === this.#other)
    const loops = sysfsLoops(this.#files)
    if (loops.length !== 2 * pools.length) faults.push(`${pools.length} pools run on ${loops.join(' ') || 'nothing'}`)
    for (const file of loops) if (!existsSync(file)) faults.push(`a pool runs on ${file}, which is gone`)
    this.#isChanged ||= ended.some(({ call }) => CALLS[call]!.changes || CALLS[call]!.deletes !== undefined)
    if (this.#known === '' || this.#uuid() !== this.#known) return faults
    const done = ended.filter(({ answer }) => !answer.fault)
    const { mode, data, metadata } = await this.#pool.status()
    if (mode !== 'rw') faults.push(`the pool is in mode ${mode}`)
    if (done.some(({ call }) => call === 'grow data') && data!.totalBytes < dataBytes!) faults.push('data did not grow')
    if (done.some(({ call }) => call === 'grow metadata') && metadata!.totalBytes < metadataBytes!)
      faults.push('metadata did not grow')
    return [...faults, ...(await this.#faultsOfVolumes(done))]
  }

  /** Compares the volumes with those that the calls made and deleted. Deletes those that they made. */
  async #faultsOfVolumes(done: readonly Ended[]): Promise<string[]> {
    const made = done.flatMap(({ answer }) => (answer.value ?? []) as number[])
    if (made.length === 0 && !this.#isChanged) return []
    const deleted = done.map(({ call }) => CALLS[call]!.deletes)
    const volumes = await this.#pool.volumes()
    const ids = volumes.map(({ id }) => id)
    const faults = new Set(made).size < made.length ? [`one id twice: ${made.join()}`] : []
    for (const id of [0, 1, ...made])
      if (!ids.includes(id) && !deleted.includes(id)) faults.push(`volume ${id} is lost`)
    for (const id of ids)
      if (!made.includes(id) && (id > 1 || deleted.includes(id))) faults.push(`volume ${id} is there`)
    for (const volume of volumes) if (volume.id > 1) await volume.destroy()
    return faults
  }

  /** What is wrong with the pool after many calls: by `open`, dmsetup and thin_ls. */
  async faultsOfPair(): Promise<string[]> {
    const pool = await ThinPool.open({ name: this.#name })
    const faults = pool.findings.map(finding => `found ${JSON.stringify(finding)}`)
    const ids = (await pool.volumes()).map(({ id }) => id)
    for (const { name, attributes } of markedDevices())
      if (!/^L--?w/.test(attributes)) faults.push(`${name} is ${attributes}`)
    const listed = thinIdsBy(this.#name)
    if (listed.join() !== ids.join()) faults.push(`thin_ls lists ${listed.join()}, the pool has ${ids.join()}`)
    return faults
  }

  async #prepare(processes: Processes, how: object): Promise<void> {
    const scene = { options: this.#options, other: this.#other, ...how }
    await Promise.all(processes.map(process => process.prepare(scene)))
  }

  #create = (): Promise<ThinPool> => ThinPool.create({ ...this.#options, format: 'overwrite' })

  async #start(): Promise<void> {
    if (this.#uuid() === '') {
      this.#removeFiles()
      await this.#create()
    }
    this.#known = this.#uuid()
    this.#pool = await ThinPool.open({ name: this.#name, repair: false })
  }

  async #takeDown(): Promise<void> {
    for (const { name } of sysfsDevices([this.#name, this.#other])) {
      if (name !== this.#name && name !== this.#other) continue
      await (await ThinPool.open({ name })).remove({ deactivate: true })
    }
  }

  #removeFiles(): void {
    for (const file of this.#files) rmSync(file, { force: true })
  }

  /** Of the pool that runs; empty if none does. */
  #uuid(): string {
    return sysfsDevices([this.#name]).find(({ name }) => name === this.#name)?.uuid ?? ''
  }
}

function faultsOfAnswer({ call, answer: { fault } }: Ended): string[] {
  if (!fault) return []
  const said = `${call}: ${fault.code}: ${fault.message}`
  if (!CALLS[call]!.codes.includes(fault.code ?? '')) return [`rejected: ${said}`]
  // If the pool is gone, so is what could undo the creation of a snapshot. A file that the other call has attached stays.
  const mayStay = fault.code === 'DM_NOT_FOUND' || fault.code === 'DM_FILE_ATTACHED'
  return !mayStay && fault.notUndone.length > 0 ? [`not undone: ${said}`] : []
}
