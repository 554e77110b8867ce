// The doctor sees what was left, says what to do, and takes away only what dead processes of the library left.
// @udev both
import { existsSync, lstatSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { KiB, MiB } from '../../../lib/entry/index.js'
import { runChild } from '../../helpers/process/children.js'
import { dmThin } from '../../helpers/process/command-line.js'
import { markedLoops } from '../../helpers/kernel/kernel-state.js'
import { withPool } from '../../helpers/pool/pools.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { run } from '../../helpers/process/spawned.js'
import { dmCreate, dmRemove, dmResume, dmSuspend } from '../../helpers/kernel/dmsetup.js'

const scratch = useScratch()
const doctor = (...options: string[]) => dmThin('doctor', ...options)
const kernelDoor = JSON.stringify(path.join(__dirname, '../../../dist/entry/kernel.js'))
const udev = existsSync('/run/udev/control')

test('doctor reports the versions of the machine and nothing to do if there are no findings', () => {
  const { stdout, status } = doctor()
  expect(stdout).toMatch(/^ok {7}device mapper, interface 4\.\d+\.\d+$/m)
  expect(stdout).toMatch(/^ok {7}target thin-pool 1\.\d+\.\d+$/m)
  expect(stdout).toMatch(udev ? /^ok {7}udevd runs/m : /^note {5}udevd does not run here/m)
  expect(stdout).not.toMatch(/^(left|missing)/m)
  expect(status).toBe(0)
})

test('doctor --fix reports a suspended device, one without a table and a full pool, and changes none of them', async () => {
  const [suspended, empty] = [scratch.name('suspended'), scratch.name('empty')]
  dmCreate(suspended, '0 8 zero')
  dmSuspend(suspended)
  run('dmsetup', ['create', empty, '--notable', '--noudevsync'])
  await withPool({ dataBytes: 16 * 64 * KiB }, async (_, { name }) => {
    const before = run('dmsetup', ['info', '-c', '--noheadings'])
    const { stdout, status } = doctor('--fix')
    expect(status).toBe(1)
    expect(stdout).toContain(`left     ${suspended} is suspended`)
    expect(stdout).toContain(`dmsetup resume ${suspended}`)
    expect(stdout).toContain(`left     ${empty} has no table`)
    expect(stdout).toContain(`ok       pool ${name}: 0 % of its data blocks are used`)
    expect(run('dmsetup', ['info', '-c', '--noheadings'])).toBe(before)
  })
  dmResume(suspended)
  dmRemove(suspended)
  dmRemove(empty)
})

test('doctor reports a loop device and a udev semaphore of a killed process, and --fix removes them', async () => {
  const file = scratch.path('left.img')
  writeFileSync(file, Buffer.alloc(MiB))
  await runChild(`
    await dmThin.LoopDevice.attach({ file: ${JSON.stringify(file)} })
    await (await require(${kernelDoor}).DeviceMapper.open()).beginUdev()
    process.kill(process.pid, 'SIGKILL')`).catch(() => undefined)
  if (udev) run('udevadm', ['settle']) // a device that udevd has open has not been left
  expect(markedLoops()).toHaveLength(1)
  const told = JSON.parse(doctor('--json').stdout) as { kind: string; text: string }[]
  expect(told.filter(({ kind }) => kind === 'left')).toMatchObject([
    { text: expect.stringContaining(`${file} was left by a process that has ended`) as string },
  ])
  if (udev) expect(told.some(({ text }) => text.startsWith('1 udev transactions'))).toBe(true)
  const repaired = doctor('--fix')
  expect(repaired.stderr).toMatch(/^dm-thin: repaired: \/dev\/loop\d+/m)
  expect(repaired.status).toBe(0)
  expect(markedLoops()).toEqual([])
  expect(doctor('--json').stdout).not.toContain('udev transactions')
})

test('doctor reports a stale link if udevd does not run, and --fix removes it', () => {
  const [gone, other] = [scratch.name('gone'), scratch.name('other')]
  dmCreate(other, '0 8 zero')
  const minor = run('dmsetup', ['info', '-c', '--noheadings', '-o', 'minor', other]).trim()
  const links = [gone, scratch.name('stale')].map(name => `/dev/mapper/${name}`)
  symlinkSync('../dm-9999', links[0]!)
  symlinkSync(`../dm-${minor}`, links[1]!)
  const { stdout } = doctor()
  for (const link of links) expect(stdout.includes(`left     ${link} leads to a device that is gone`)).toBe(!udev)
  expect(doctor('--fix').status).toBe(0)
  expect(links.filter(link => lstatSync(link, { throwIfNoEntry: false }))).toEqual(udev ? links : [])
  for (const link of links) rmSync(link, { force: true })
  dmRemove(other)
})

test('doctor rejects an unknown option by name, and --help has an example', () => {
  expect(doctor('--wrong')).toMatchObject({
    status: 2,
    stderr: expect.stringContaining("unknown option '--wrong'") as string,
  })
  expect(doctor('--help')).toMatchObject({
    status: 0,
    stdout: expect.stringMatching(/^Usage: dm-thin doctor [^]*Example:\n {2}dm-thin doctor/) as string,
  })
})
