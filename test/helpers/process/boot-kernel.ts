// A kernel that a virtual machine can boot inside of the guest, as words for the example boot-forks. User-Mode Linux cannot
// run in User-Mode Linux, whose kernel has neither PTRACE_SYSEMU nor the instruction pointer of a process for filters of
// seccomp: QEMU emulates the stock kernel there. On every other kernel, User-Mode Linux runs.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'

const cache = process.env.DM_THIN_CACHE ?? path.join(__dirname, '../../../.cache/vm')

/** The kind of virtual machine that runs here, and the newest of its kernels in the cache. */
export function bootKernel(): [kind: 'uml' | 'qemu', kernel: string] {
  const kind = readFileSync('/proc/cpuinfo', 'utf8').includes('User Mode Linux') ? 'qemu' : 'uml'
  const folder = path.join(cache, kind)
  const images = readdirSync(folder)
    .sort((one, other) => one.localeCompare(other, 'en', { numeric: true }))
    .map(version => path.join(folder, version, 'image'))
    .filter(file => existsSync(file))
  if (images.length === 0) throw new Error(`no kernel in ${folder}: "npm test" fetches one`)
  return [kind, images.at(-1)!]
}
