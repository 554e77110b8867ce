// Which tests run where: the projects on devices, over the machines that there are.
import { chooseMachine } from '../vm/machine.mjs'
import { testFiles } from './queue.mjs'
import { say } from '../setup/steps.mjs'

/** What makes devices in the kernel, but `long`, and `races`, which mean something only with two processors. */
export const ON_DEVICES = ['clients', 'store', 'contract', 'kernel', 'fault', 'examples', 'runtimes']
export const TITLES = { uml: 'User-Mode Linux', qemu: 'QEMU' }

/** @param {string} machine @param {boolean} udev @param {string} [what] */
const titleOf = (machine, udev, what) => `${TITLES[machine]}${udev ? ' with udev' : ''}${what ? `: ${what}` : ''}`

/** @param {import('./queue.mjs').TestFile} file */
const without = file => file.udev.includes('without')
/** @param {import('./queue.mjs').TestFile} file */
const withUdev = file => file.udev.includes('with')

/**
 * The parts of `npm test`, or of `npm run test:full` if `full`. Each file runs once, or with and without udev where udev can
 * change its result. If User-Mode Linux is the machine, what needs two processors runs on QEMU: one file of races, or all of
 * them with `full`, and then the files of the second kernel too.
 * @param {string[]} filters @param {{ full: boolean }} which @returns {Promise<import('./lanes.mjs').Part[]>}
 */
export async function usualParts(filters, { full }) {
  const machine = (await chooseMachine(say)).name
  const all = testFiles(['races'], filters, { full })
  const races = all.filter(({ twoProcessors }) => full || twoProcessors)
  const files = [...testFiles(ON_DEVICES, filters, { full }), ...all.filter(file => !races.includes(file))]
  const second = machine === 'uml' && process.env.DM_THIN_VM === undefined
  const two = second ? 'qemu' : machine
  return [
    // One guest for the second kernel, from the beginning: it is the longest of what cannot be divided.
    ...(second && full ? [secondKernel(files)] : []),
    { title: titleOf(machine, false), machine, udev: false, files: files.filter(without) },
    { title: titleOf(machine, true), machine, udev: true, files: files.filter(withUdev) },
    { title: titleOf(two, false, 'races'), machine: two, udev: false, processors: 2, alone: true, files: races },
  ]
}

/** @param {import('./queue.mjs').TestFile[]} files @returns {import('./lanes.mjs').Part} */
const secondKernel = files => ({
  title: titleOf('qemu', false, 'second kernel'),
  machine: 'qemu',
  udev: false,
  single: true,
  // Emulated, the compilers of V8 cost more than their code saves in tests that run once: a tenth of the time.
  node: ['--jitless', '--no-expose-wasm'],
  files: files.filter(file => file.secondKernel),
})

/**
 * Every project on each machine (on one, if DM_THIN_VM names it), with and without udev (only one of them if the words have
 * `--udev` or `--no-udev`).
 * @param {string[]} filters @returns {import('./lanes.mjs').Part[]}
 */
export function everyPart(filters) {
  const files = testFiles(ON_DEVICES, filters, { full: true })
  const races = testFiles(['races'], filters, { full: true })
  const asked = process.env.DM_THIN_VM
  const machines = /** @type {const} */ (['uml', 'qemu']).filter(name => asked === undefined || asked === name)
  const choices = [false, true].filter(udev => !filters.includes(udev ? '--no-udev' : '--udev'))
  const places = machines.flatMap(machine => choices.map(udev => ({ machine, udev })))
  const limit = 7200
  return [
    ...places.map(place => ({ title: titleOf(place.machine, place.udev), ...place, files, limit })),
    ...places.map(place => ({
      title: titleOf(place.machine, place.udev, 'races'),
      ...place,
      processors: 2,
      alone: true,
      files: races,
      limit,
    })),
  ]
}
