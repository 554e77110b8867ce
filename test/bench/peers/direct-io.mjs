// The peers of send and receive: direct reads and writes of 1 MiB of a volume, without digest and stream. `dd` has one in
// progress, `dd-8` is eight of them side by side, each with its share, and `fio`, where it is installed, has eight.
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { range, readPlan, Samples } from '../plan.mjs'
import { withFilled } from '../transfer-scratch.mjs'

const { plan } = readPlan(process.argv.slice(2))
const samples = new Samples()
const AT_ONCE = 8

async function run(program, ...args) {
  const [status] = await once(spawn(program, args, { stdio: 'ignore' }), 'close')
  if (status !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${status}`)
}

/** The arguments of `dd` for each of so many parts. `place`: skip or seek. */
const shares = (place, parts) =>
  range(parts).map(at => ['bs=1M', `count=${plan.count / parts}`, `${place}=${(at * plan.count) / parts}`])

const read = (path, parts) =>
  Promise.all(shares('skip', parts).map(share => run('dd', `if=${path}`, 'of=/dev/null', 'iflag=direct', ...share)))

const write = (path, parts) =>
  Promise.all(
    shares('seek', parts).map(share => run('dd', 'if=/dev/zero', `of=${path}`, 'oflag=direct', 'conv=fsync', ...share)),
  )

const fio = (path, direction) => {
  const how = ['--direct=1', '--bs=1M', '--ioengine=libaio', `--iodepth=${AT_ONCE}`, `--size=${plan.count}M`]
  return run('fio', '--name=bench', `--filename=${path}`, `--rw=${direction}`, ...how, '--end_fsync=1')
}
const hasFio = spawnSync('fio', ['--version']).status === 0

await withFilled(plan, async ({ pool, volume, snapshot }) => {
  await snapshot.activate({ readOnly: true })
  for (const _ of range(plan.repeats)) {
    await samples.time('send@dd', () => read(snapshot.path, 1))
    await samples.time('send@dd-8', () => read(snapshot.path, AT_ONCE))
    if (hasFio) await samples.time('send@fio', () => fio(snapshot.path, 'read'))
    for (const [metric, body] of [
      ['receive@dd', path => write(path, 1)],
      ['receive@dd-8', path => write(path, AT_ONCE)],
      ...(hasFio ? [['receive@fio', path => fio(path, 'write')]] : []),
    ]) {
      // A new volume, as a receiver makes one.
      await samples.time(metric, async () => {
        const made = await (await pool.createVolume({ sizeBytes: volume.sizeBytes })).activate()
        await body(made.path)
        await made.deactivate()
      })
      for (const each of await pool.volumes()) if (each.id > snapshot.id) await each.delete()
    }
  }
})
samples.print()
