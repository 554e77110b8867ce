// The peer of the layer store: containerd's own snapshotter for device mapper, by a Go program that is linked with it
// (see containerd/main.go), so that neither a daemon nor a socket is in its figures. What it leaves in the pool goes.
// The peer of unpacking: containerd's own, with the digest, into a layer of ours; the program's start does not count.
import { execFile, execFileSync } from 'node:child_process'
import { existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { readPlan, Samples } from '../plan.mjs'
import { containerdProgram } from '../process.mjs'
import { emptyPool } from '../store-scratch.mjs'
import { importing, importingImage, layerByLayer } from './ours-trees.mjs'

const { trial, plan } = readPlan(process.argv.slice(2))
const run = promisify(execFile)

async function ofSnapshotter() {
  const root = join(plan.directory, `containerd-${process.pid}`)
  // Where there is no udev, dmsetup makes the nodes itself; containerd looks for that of the pool.
  const alone = !existsSync('/run/udev/control')
  const env = { ...process.env, ...(alone && { DM_DISABLE_UDEV: '1' }) }
  if (alone) execFileSync('dmsetup', ['mknodes', plan.pool], { env })
  const options = ['pool', 'count', 'repeats'].map(key => `-${key}=${plan[key]}`)
  const size = `${plan.sectors * 512}B`
  const printed = execFileSync(containerdProgram, [`-root=${root}`, `-size=${size}`, ...options, trial], {
    env,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await emptyPool(plan)
  if (alone) rmSync(`/dev/mapper/${plan.pool}`)
  rmSync(root, { recursive: true })
  process.stdout.write(printed)
}

/** The time in ns that the program took for an archive into a layer. */
async function unpacked(layer, archive) {
  const [{ type, source }] = layer.mounts
  const { stdout } = await run(containerdProgram, ['unpack', trial, archive, type, source])
  return JSON.parse(stdout)[trial][0]
}

async function ofArchive() {
  const samples = new Samples()
  await importing(plan, async ({ layer, archive }) => samples.add(trial, await unpacked(layer, archive)))
  samples.print()
}

/** Only the unpacking counts, not the snapshots below it, which are ours. */
async function ofImage() {
  const samples = new Samples()
  await importingImage(plan, async each => {
    let ns = 0
    const keys = await layerByLayer(each, async (layer, archive) => {
      ns += await unpacked(layer, archive)
    })
    samples.add(trial, ns)
    return keys
  })
  samples.print()
}

const ways = { import: ofArchive, 'import-image': ofImage }
await (ways[trial] ?? ofSnapshotter)()
