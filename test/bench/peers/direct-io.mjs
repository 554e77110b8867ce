// The peers of send and receive: direct reads and writes of 1 MiB of a volume, without digest and stream. `dd` has one in
// progress, `dd-8` is eight of them side by side, each with its share, and `fio`, where it is installed, has eight.
import { execFile, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { promisify } from 'node:util'
import { BlockDevice } from 'dm-thin'
import { range, readPlan, Samples } from '../plan.mjs'
import { withFilled } from '../transfer-scratch.mjs'

const { plan } = readPlan(process.argv.slice(2))
const samples = new Samples()
const AT_ONCE = 8
const MIB = 2 ** 20

async function run(program, ...args) {
  const [status] = await once(spawn(program, args, { stdio: 'ignore' }), 'close')
  if (status !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${status}`)
}

/** Runs so many processes of dd, each with its share. Returns the time in ns until the last one has ended. */
async function dd(parts, place, words) {
  const share = plan.count / parts
  const start = process.hrtime.bigint()
  const part = at => run('dd', ...words, 'bs=1M', `count=${share}`, `${place}=${at * share}`)
  await Promise.all(range(parts).map(part))
  return Number(process.hrtime.bigint() - start)
}

/** Runs fio. Returns the time in ns of its reads or writes as it reports them, without its own start. */
async function fio(path, direction) {
  const how = ['--direct=1', '--bs=1M', '--ioengine=libaio', `--iodepth=${AT_ONCE}`, `--size=${plan.count}M`]
  const args = ['--name=bench', `--filename=${path}`, `--rw=${direction}`, ...how, '--output-format=json']
  const { stdout } = await promisify(execFile)('fio', args)
  const { runtime, io_bytes: bytes } = JSON.parse(stdout.slice(stdout.indexOf('{'))).jobs[0][direction]
  if (bytes !== plan.count * MIB) throw new Error(`fio has moved ${bytes} bytes`)
  return runtime * 1e6
}

const hasFio = spawnSync('fio', ['--version']).status === 0

/** The ways to read a volume. Each returns its time in ns. */
const readers = {
  dd: path => dd(1, 'skip', [`if=${path}`, 'of=/dev/null', 'iflag=direct']),
  'dd-8': path => dd(AT_ONCE, 'skip', [`if=${path}`, 'of=/dev/null', 'iflag=direct']),
  ...(hasFio && { fio: path => fio(path, 'read') }),
}
const writers = {
  dd: path => dd(1, 'seek', ['if=/dev/zero', `of=${path}`, 'oflag=direct']),
  'dd-8': path => dd(AT_ONCE, 'seek', ['if=/dev/zero', `of=${path}`, 'oflag=direct']),
  ...(hasFio && { fio: path => fio(path, 'write') }),
}

/** Makes a new volume, as a receiver does, writes to it and flushes it. Returns the time in ns; `write` returns its own part. */
async function received(pool, sizeBytes, write) {
  let ns = 0
  const timed = async call => {
    const start = process.hrtime.bigint()
    const value = await call()
    ns += Number(process.hrtime.bigint() - start)
    return value
  }
  const made = await timed(async () => (await pool.createVolume({ sizeBytes })).activate())
  ns += await write(made.path)
  await timed(async () => {
    const device = await BlockDevice.open(made.path)
    await device.flush()
    await device.close()
    await made.deactivate()
  })
  await made.delete()
  return ns
}

await withFilled(plan, async ({ pool, volume, snapshot }) => {
  await snapshot.activate({ readOnly: true })
  for (const _ of range(plan.repeats)) {
    for (const [label, read] of Object.entries(readers)) samples.add(`send@${label}`, await read(snapshot.path))
    for (const [label, write] of Object.entries(writers))
      samples.add(`receive@${label}`, await received(pool, volume.sizeBytes, write))
  }
})
samples.print()
