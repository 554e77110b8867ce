// A store whose pool and records lie on one disk with a log, so that a mark in the log is one moment of all of them.
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { mkdirSync } from 'node:fs'
import path from 'node:path'
import { MiB, mount, unmount } from '../../../lib/entry/index.js'
import { LayerStore } from '../../../lib/entry/store.js'
import { dmCreate, dmInfo, dmRemove } from '../kernel/dmsetup.js'
import { LoggedDisk } from '../kernel/log-writes.js'
import type { Scratch } from '../kernel/scratch.js'
import { run } from '../process/spawned.js'
import { checkAfterPowerLoss, Promises, recoverRecords } from './power.js'

/** Begin and length on the disk, in MiB. */
const PARTS = { data: [0, 96], metadata: [96, 16], records: [112, 32] } as const
const WHOLE = 144
const SECTORS = MiB / 512

type Part = keyof typeof PARTS
const NAMES = ['data', 'metadata', 'records'] as const

export class StoreOnOneDisk {
  readonly promises = new Promises()
  readonly #scratch: Scratch
  readonly #disk: LoggedDisk
  readonly #names: Readonly<Record<Part, string>>
  readonly #directory: string
  readonly #noted: (mark: string) => void
  #store: LayerStore | undefined

  private constructor(scratch: Scratch, disk: LoggedDisk, names: Record<Part, string>, noted: (mark: string) => void) {
    this.#scratch = scratch
    this.#disk = disk
    this.#names = names
    this.#noted = noted
    this.#directory = scratch.path('store')
  }

  /** Makes the disk, and opens a new store on it. `noted` is called with the mark of each moment. */
  static async make(scratch: Scratch, noted: (mark: string) => void = () => {}): Promise<StoreOnOneDisk> {
    const diskName = scratch.name('disk')
    const disk = await LoggedDisk.make(diskName, scratch.path('disk'), WHOLE * MiB)
    const names = { data: scratch.name('data'), metadata: scratch.name('metadata'), records: scratch.name('records') }
    for (const part of NAMES) {
      const [begin, length] = PARTS[part]
      const { number } = dmInfo(diskName)!
      dmCreate(names[part], `0 ${length * SECTORS} linear ${number} ${begin * SECTORS}`)
    }
    const made = new StoreOnOneDisk(scratch, disk, names, noted)
    await made.#open()
    return made
  }

  get store(): LayerStore {
    return this.#store!
  }

  async #open(): Promise<void> {
    const node = (part: Part) => `/dev/dm-${dmInfo(this.#names[part])!.number.split(':')[1]}`
    run('mkfs.ext4', ['-q', node('records')])
    mkdirSync(this.#directory)
    await mount({ source: node('records'), target: this.#directory, type: 'ext4' })
    const pool = { name: this.#scratch.name('pool'), data: node('data'), metadata: node('metadata') }
    this.#store = await LayerStore.open({ directory: this.#directory, pool, sizeBytes: 16 * MiB })
  }

  /** Notes a moment at which the power may go, with what is promised by then. */
  moment(label: string): void {
    const mark = this.promises.moment(label)
    this.#noted(mark)
    this.#disk.mark(mark)
  }

  /** Notes a moment at each step of the store while `body` runs. Takes the store down at the end. */
  async run(body: () => Promise<void>): Promise<void> {
    const listen = (message: unknown) => this.moment((message as { step: string }).step)
    subscribe('dm-thin:store', listen)
    try {
      await body()
    } finally {
      unsubscribe('dm-thin:store', listen)
    }
    await this.store.takeDown()
    await unmount(this.#directory)
    for (const name of Object.values(this.#names)) dmRemove(name)
    await this.#disk.end()
  }

  /** The steps of all moments. */
  steps(): string[] {
    return this.promises.moments.map(({ mark }) => mark.replace(/^\d+-/, ''))
  }

  /** Opens the store as it is after a loss of power at each moment, compares it with what was promised, and calls `look`. */
  async replay(look: (store: LayerStore, mark: string) => Promise<void>): Promise<void> {
    const image = this.#scratch.path('image')
    let looked = 0
    await this.#disk.replay(image, async mark => {
      const folder = path.join(this.#scratch.path('moments'), mark)
      mkdirSync(folder, { recursive: true })
      for (const part of NAMES) {
        const [begin, length] = PARTS[part]
        const where = [`if=${image}`, `of=${path.join(folder, `${part}.img`)}`, `skip=${begin}`, `count=${length}`]
        run('dd', [...where, 'bs=1M', 'conv=sparse', 'status=none'])
      }
      await recoverRecords(path.join(folder, 'records.img'), folder)
      const moment = this.promises.moments[looked++]!
      await checkAfterPowerLoss(folder, this.promises, moment, store => look(store, mark))
      run('rm', ['-r', folder])
    })
    expect(looked).toBe(this.promises.moments.length)
  }
}
