// Scenario                                                  Test
// chaos: four processes, all calls, aborts, kills, restarts,  calls of four processes that are killed at …
//   a full pool, a full disk below it
import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { MiB } from '../../lib/entry/index.js'
import { keepFigures } from '../helpers/long/report.js'
import { markedDevices } from '../helpers/kernel/kernel-state.js'
import { takeDown } from '../helpers/pool/pools.js'
import { seeded } from '../helpers/random/random.js'
import { imageToImport, killedWork, together, untilKilled } from '../helpers/store/store-child.js'
import { held } from '../helpers/store/store-held.js'
import { run, tryRun } from '../helpers/process/spawned.js'
import { endStore, storeFiles, storeFilesIn, type StoreFiles } from '../helpers/store/stores.js'
import { useScratch } from '../helpers/kernel/scratch.js'
import { thinCheck } from '../helpers/kernel/dmsetup.js'

const scratch = useScratch()
const actor = path.join(__dirname, 'chaos-actor.cjs')
const OPERATIONS = Number(process.env['DM_THIN_CHAOS_OPERATIONS'] ?? 100_000)
const SEED = Number(process.env['DM_THIN_CHAOS_SEED'] ?? Date.now() % 2 ** 31)
const ACTORS = ['a', 'b', 'c', 'd']
const EACH = 300
const LONGEST_MS = 6_000
/** Of which a quarter of the rounds fills all that is not kept for removals. */
const TIGHT_BYTES = 96 * MiB

/** The disk below the third store: the pool's data file may grow to more than it has. */
const DISK_MIB = 512
const FILLED_WITHIN_MS = 6_000

class SmallDisk {
  readonly files: StoreFiles
  readonly #ballast: string

  constructor(readonly target: string) {
    mkdirSync(target)
    run('mount', ['-t', 'tmpfs', '-o', `size=${DISK_MIB}m`, 'none', target])
    const directory = path.join(target, 'store')
    mkdirSync(directory)
    this.files = storeFilesIn(directory, {})
    this.#ballast = path.join(target, 'ballast')
  }

  /** Takes all the space that is left. */
  fill(): void {
    tryRun('dd', ['if=/dev/zero', `of=${this.#ballast}`, 'bs=64k', 'status=none'])
  }

  empty(): void {
    rmSync(this.#ballast, { force: true })
  }

  /**
   * Takes the pool down, has thin_check look at its metadata, and unmounts the disk. Each first write to a block that the
   * full disk refused has leaked the block (test/kernel/pool/refused-writes.test.ts): thin_repair finds nothing else.
   */
  async end(): Promise<void> {
    await takeDown(this.files.poolName)
    const { metadataFile } = this.files
    thinCheck(metadataFile, '--ignore-non-fatal-errors')
    const repaired = path.join(this.target, '..', 'repaired.img')
    writeFileSync(repaired, Buffer.alloc(statSync(metadataFile).size))
    run('thin_repair', ['--input', metadataFile, '--output', repaired])
    thinCheck(repaired)
    rmSync(repaired)
    run('umount', [this.target])
  }
}

/** As after a restart of the machine nothing but the files is left: no mount, no device. */
function restartMachine({ directory, poolName }: StoreFiles): void {
  const mounted = readFileSync('/proc/self/mounts', 'utf8').split('\n')
  for (const line of mounted) if (line.split(' ')[1]?.startsWith(`${directory}/`)) run('umount', [line.split(' ')[1]!])
  const names = markedDevices().map(({ name }) => name)
  for (const name of names.filter(each => each.startsWith(`${poolName}-`))) run('dmsetup', ['remove', '--retry', name])
  run('dmsetup', ['remove', '--retry', poolName])
}

test('calls of four processes that are killed at any time lose nothing acknowledged', async () => {
  process.stderr.write(`chaos: DM_THIN_CHAOS_SEED=${SEED}\n`)
  scratch.log.allow(/no free data space|low water mark|out-of-data-space/, /I\/O error|EXT4-fs/)
  scratch.log.allow(/transaction id/) // each raises it, and hears from the kernel when another was quicker
  const random = seeded(SEED)
  const image = imageToImport(scratch)
  const [roomy, tight, disk] = [
    storeFiles(),
    storeFiles({ dataBytes: TIGHT_BYTES }),
    new SmallDisk(scratch.path('disk')),
  ]
  const stores = [roomy, tight, disk.files]
  for (const files of stores) await held(files, await killedWork(files.options, 'first', {}))
  const figures = { seed: SEED, operations: 0, acknowledged: 0, rounds: 0, kills: 0, restarts: 0, full: 0 }
  while (figures.operations < OPERATIONS) {
    const files = [roomy, tight, roomy, disk.files][figures.rounds % 4]!
    const isFull = files === disk.files
    const live = ACTORS.map(letter => {
      const name = `${letter}${figures.rounds}x`
      const task = {
        options: files.options,
        name,
        seed: random.integer(1, 2 ** 31),
        operations: EACH,
        image,
        tight: files === tight,
        full: isFull,
      }
      const kill = random.boolean() ? { afterSteps: 0, afterMs: random.integer(0, LONGEST_MS) } : {}
      return untilKilled([actor, JSON.stringify(task)], kill)
    })
    const filled = isFull ? sleep(random.integer(0, FILLED_WITHIN_MS)).then(() => disk.fill()) : undefined
    const told = await Promise.all(live)
    await filled
    disk.empty()
    const restart = random.integer(0, 3) === 0
    if (restart) restartMachine(files)
    const promised = together(told)
    await held(files, promised)
    figures.rounds += 1
    figures.restarts += restart ? 1 : 0
    figures.full += isFull ? 1 : 0
    figures.kills += told.filter(({ ending }) => ending === 'SIGKILL').length
    figures.operations += promised.operations
    figures.acknowledged += promised.keys.size + promised.gone.size
    keepFigures('chaos', [figures])
  }
  for (const files of [roomy, tight]) await endStore(files)
  await disk.end()
})
