// Which machine runs the guests.
import { accessSync, constants, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { cacheDir } from './cache.mjs'
import { qemu } from './qemu.mjs'
import { toolPath } from './tools.mjs'
import { uml, whyNoUml } from './uml.mjs'

/**
 * A kind of virtual machine. Both have the same root (this machine's, with a throw-away overlay) and a writable work tree.
 * `devices` are the guest's own names of its channels; `start` has the guest's processes and channels.
 * @typedef {{
 *   name: 'qemu' | 'uml',
 *   ensureKernel: (say: (line: string) => void) => Promise<import('./kernel.mjs').Kernel>,
 *   accelerator: (kernel: import('./kernel.mjs').Kernel, say: (line: string) => void) => Promise<'kvm' | 'tcg' | 'uml'>,
 *   devices: { out: string, control: string, shell: string, console: string, scratch: string },
 *   start: (options: { kernel: import('./kernel.mjs').Kernel, accelerator: string, processors: number, folder: string,
 *     scratch: number, console: number, fail: (error: Error) => void }) => Promise<Running>,
 * }} Machine
 * @typedef {{ main: import('node:child_process').ChildProcess, out: import('node:stream').Readable,
 *   control: import('node:stream').Readable, shell: import('node:stream').Duplex,
 *   children: ReturnType<typeof import('./children.mjs').childrenOf> }} Running
 */

export const MACHINES = { qemu, uml }

/**
 * The machine to use: the one that is asked for, by name or by DM_THIN_VM; else QEMU if KVM starts a guest, else
 * User-Mode Linux if it starts, else emulated QEMU.
 * @param {(line: string) => void} say @param {string} [asked] @returns {Promise<Machine>}
 */
export async function chooseMachine(say, asked = process.env.DM_THIN_VM) {
  if (asked) {
    if (!Object.hasOwn(MACHINES, asked)) throw new Error(`DM_THIN_VM is ${asked}, and must be uml or qemu`)
    return MACHINES[asked]
  }
  if (await kvmWorks(say)) return qemu
  const why = await whyNoUmlHere(say)
  if (why === undefined) return uml
  say(`${why}\nQEMU is used instead, emulated: the tests take about five times as long.`)
  return qemu
}

/** QEMU is asked only if it is here already: nothing is fetched to find out. @param {(line: string) => void} say */
async function kvmWorks(say) {
  if (process.env.DM_THIN_ACCEL === 'tcg') return false
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK)
  } catch {
    return false
  }
  if (!existsSync(toolPath('qemu-system-x86_64'))) return false
  return (await qemu.accelerator(await qemu.ensureKernel(say), say)) === 'kvm'
}

/** That it starts is remembered until the next boot of this machine. @param {(line: string) => void} say */
async function whyNoUmlHere(say) {
  const kernel = await uml.ensureKernel(say)
  const key = `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()} ${kernel.dir}`
  const file = join(cacheDir(), 'uml-starts')
  if (existsSync(file) && readFileSync(file, 'utf8') === key) return undefined
  const why = whyNoUml(kernel)
  if (why === undefined) writeFileSync(file, key)
  return why
}
