// The files that the guest's first process reads: its own two stages, the run's settings, the command.
import { chmodSync, copyFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/**
 * Loaded at the start; modprobe brings what each depends on. File systems (xfs, vfat, their code pages) and other
 * targets are loaded by the kernel itself when first asked for, which it can since /lib/modules is in place:
 * checking a large module's signature takes an emulated processor a second.
 */
const MODULES = [
  ['overlay', 'virtio_blk', 'loop', 'dm-mod', 'dm-thin-pool'],
  ['dm-flakey', 'dm-delay', 'dm-log-writes', 'dm-zero', 'dm-snapshot'],
].flat()

const PASSED = ['CI', 'NODE_OPTIONS', 'NODE_ENV', 'LANG', 'LC_ALL', 'TERM', 'TZ', 'NO_COLOR', 'FORCE_COLOR']

/** @param {string} word */
export const quote = word => `'${word.replaceAll("'", "'\\''")}'`

/**
 * What the command finds in its environment: the host's PATH, and only what belongs to this project or to Node.
 * @param {NodeJS.ProcessEnv} host @param {Record<string, string>} extra @param {boolean} udev
 */
export function guestEnvironment(host, extra, udev) {
  const env = { HOME: '/root', USER: 'root', SHELL: '/bin/bash', LANG: 'C.UTF-8' }
  env.PATH = `${host.PATH ?? ''}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`.replace(/^:/, '')
  for (const [name, value] of Object.entries(host)) {
    const passed = name.startsWith('DM_THIN_') || PASSED.includes(name) || name.toLowerCase() === 'npm_config_nodedir'
    if (value !== undefined && passed) env[name] = value
  }
  Object.assign(env, extra, { DM_THIN_GUEST: '1' })
  if (udev) env.DM_THIN_UDEV = '1'
  else delete env.DM_THIN_UDEV
  return env
}

/**
 * @param {string} folder
 * @param {{ machine: import('./machine.mjs').Machine, kernelDir: string, tools: string | undefined,
 *   preload: string | undefined, tree: string, udev: boolean, keep: boolean, timeout: number, command: string[],
 *   cwd: string, env: Record<string, string> }} run
 */
export function writeGuestFiles(folder, run) {
  for (const name of ['init.sh', 'guest.sh']) copyFileSync(join(import.meta.dirname, name), join(folder, name))
  chmodSync(join(folder, 'init.sh'), 0o755)
  const settings = {
    VM_MACHINE: run.machine.name,
    VM_OUT: run.machine.devices.out,
    VM_CONTROL: run.machine.devices.control,
    VM_SHELL: run.machine.devices.shell,
    VM_CONSOLE: run.machine.devices.console,
    VM_TOOLS: run.tools ?? '',
    VM_PRELOAD: run.preload ?? '',
    VM_OWN_HOME: process.getuid?.() === 0 ? '0' : '1',
    VM_KERNEL_DIR: run.kernelDir,
    VM_MODULES: MODULES.join(' '),
    VM_TREE: run.tree,
    VM_UDEV: run.udev ? '1' : '0',
    VM_KEEP: run.keep ? '1' : '0',
    VM_HAS_COMMAND: run.command.length > 0 ? '1' : '0',
    VM_DEADLINE: String(Math.floor(Date.now() / 1000 + (run.keep ? 1e8 : run.timeout))),
    VM_ROWS: String(process.stdout.rows || 24),
    VM_COLUMNS: String(process.stdout.columns || 80),
  }
  const lines = Object.entries(settings).map(([name, value]) => `${name}=${quote(value)}`)
  writeFileSync(join(folder, 'config.sh'), lines.join('\n') + '\n')
  const script = Object.entries(run.env).map(([name, value]) => `export ${name}=${quote(value)}`)
  script.push(`cd ${quote(run.cwd)} || exit 126`, `exec ${run.command.map(quote).join(' ')}`)
  writeFileSync(join(folder, 'command.sh'), script.join('\n') + '\n')
}
