// The peers of the reader of metadata: thin_delta and thin_dump of thin-provisioning-tools, a process each, and dd, which
// reads as many bytes in large direct reads and looks at none of them.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { imageOf, VOLUMES } from '../metadata-image.mjs'
import { range, readPlan, Samples } from '../plan.mjs'

const { plan } = readPlan(process.argv.slice(2))
const samples = new Samples()
const image = imageOf(plan)
/** Both trees of `delta-full`, in MiB. */
const BOTH_TREES = 522

async function run(program, ...args) {
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] })
  let said = ''
  child.stderr.on('data', text => (said += text))
  const [status] = await once(child, 'close')
  if (status !== 0) throw new Error(`${program} ended with ${status}: ${said}`)
}

for (const _ of range(plan.repeats)) {
  for (const [metric, volume] of [
    ['delta-sequential', VOLUMES.sequential],
    ['delta-random', VOLUMES.random],
    ['delta-full', VOLUMES.whole],
  ]) {
    const snapshots = ['--snap1', `${VOLUMES.base}`, '--snap2', `${volume}`]
    await samples.time(metric, () => run('thin_delta', ...snapshots, image))
  }
  await samples.time('delta-mappings@thin_dump', () => run('thin_dump', '--dev-id', `${VOLUMES.base}`, image))
  const reads = [`if=${image}`, 'of=/dev/null', 'bs=1M', `count=${BOTH_TREES}`, 'iflag=direct', 'status=none']
  await samples.time('delta-full@dd', () => run('dd', ...reads))
}
samples.print()
