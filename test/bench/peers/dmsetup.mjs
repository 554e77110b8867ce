// The peer that people use today: `dmsetup` by execFile, one process for each step.
import { execFile } from 'node:child_process'
import { closeSync, existsSync, openSync } from 'node:fs'
import { promisify } from 'node:util'
import { measureEventLoop } from '../event-loop.mjs'
import { Samples, holdResident, range, readPlan } from '../plan.mjs'

const run = promisify(execFile)
const dmsetup = (...args) => run('dmsetup', args)

const { trial, plan } = readPlan(process.argv.slice(2))
const samples = new Samples()
const names = range(plan.count).map(index => `dmthinbench-d-${index}`)
const ids = range(plan.count).map(index => plan.first + index)

const message = text => dmsetup('message', plan.pool, '0', text)
const snap = index => message(`create_snap ${ids[index]} ${plan.origin}`)
const drop = index => message(`delete ${ids[index]}`)
const table = id => `0 ${plan.sectors} thin ${poolDevice} ${id}`
const activate = index => dmsetup('create', names[index], '--table', table(ids[index]), '--noudevsync')
// Who opens the node under /dev/mapper next must let dmsetup wait for udev, or make the node where there is no udev.
const activateForUse = (name, id) => dmsetup('create', name, '--table', table(id))
const remove = index => dmsetup('remove', names[index], '--noudevsync')
const together = fn => Promise.all(names.map((_, index) => fn(index)))

async function oneByOne(metric, fn) {
  for (const index of names.keys()) await samples.time(metric, () => fn(index))
}

const trials = {
  async layers() {
    await oneByOne('message', snap)
    await oneByOne('activate', activate)
    await oneByOne('remove', remove)
    await together(drop)
  },

  async ready() {
    const origin = 'dmthinbench-d-origin'
    if (!existsSync('/run/udev/control')) process.env.DM_DISABLE_UDEV = '1'
    await activateForUse(origin, plan.origin)
    await oneByOne('snapshot-ready', async index => {
      await dmsetup('suspend', origin, '--noudevsync')
      await snap(index)
      await dmsetup('resume', origin, '--noudevsync')
      await activateForUse(names[index], ids[index])
      closeSync(openSync(`/dev/mapper/${names[index]}`, 'r'))
    })
    await together(remove)
    await dmsetup('remove', origin, '--noudevsync')
    await together(drop)
  },

  async status() {
    await together(snap)
    await together(activate)
    for (let repeat = 0; repeat < plan.repeats; repeat++) {
      await samples.time('status-batch', async () => {
        for (const name of names) await dmsetup('status', '--noflush', name)
      })
      await samples.time('status-batch@dmsetup-all', () => dmsetup('status', '--noflush', '--target', 'thin'))
    }
    await together(remove)
    await together(drop)
  },

  async wide() {
    await together(snap)
    for (let repeat = 0; repeat < plan.repeats; repeat++) {
      await samples.time('activate-64', () => together(activate), plan.count)
      await samples.time('remove-64', () => together(remove), plan.count)
    }
    await together(drop)
  },

  async loop() {
    await together(snap)
    await measureEventLoop(samples, async () => {
      await together(activate)
      await together(remove)
    })
    await together(drop)
  },
}

const { stdout } = await dmsetup('info', '-c', '--noheadings', '--separator', ':', '-o', 'major,minor', plan.pool)
const poolDevice = stdout.trim()
holdResident(plan.megabytes)
await trials[trial]()
samples.print()
