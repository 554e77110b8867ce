// Thin pools that lvm2 makes and runs, on a file of the scratch directory.
import { mkdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { MARK } from '../kernel/kernel-state.js'
import type { Scratch } from '../kernel/scratch.js'
import { run } from '../process/spawned.js'

/** Without udev, without files outside of the scratch directory, and without checks by other programs. */
const CONFIGURATION = `
devices { dir="/dev" scan=["/dev"] use_devicesfile=0 obtain_device_list_from_udev=0 external_device_info_source="none" }
activation { udev_sync=0 udev_rules=0 monitoring=0 }
backup { backup=0 archive=0 }
global { use_lvmpolld=0 thin_check_executable="" }
`

/** The group of volumes, and the names that LVM gives the mapped devices of its pool `pool`. */
export const GROUP = `${MARK.slice(0, -1)}`
export const POOL = `${GROUP}-pool-tpool`
export const METADATA = `/dev/mapper/${GROUP}-pool_tmeta`

export type Lvm = (command: string, ...args: string[]) => string

/** Runs `body` with a volume group that has an active thin pool, and removes the group. */
export async function withLvm(scratch: Scratch, body: (lvm: Lvm) => Promise<void>): Promise<void> {
  const system = scratch.path('lvm')
  const file = scratch.path('physical.img')
  mkdirSync(system)
  mkdirSync('/run/lock/lvm', { recursive: true })
  writeFileSync(`${system}/lvm.conf`, CONFIGURATION)
  writeFileSync(file, '')
  truncateSync(file, 256 * 2 ** 20)
  const lvm: Lvm = (command, ...args) =>
    run('env', [`LVM_SYSTEM_DIR=${system}`, 'LVM_SUPPRESS_FD_WARNINGS=1', 'lvm', command, ...args])
  const loop = run('losetup', ['--find', '--show', file]).trim()
  try {
    lvm('vgcreate', '--yes', GROUP, loop)
    lvm(
      'lvcreate',
      '--yes',
      '--type',
      'thin-pool',
      '--size',
      '96M',
      '--poolmetadatasize',
      '4M',
      '-c',
      '64K',
      '-n',
      'pool',
      GROUP,
    )
    await body(lvm)
    lvm('vgremove', '--force', '--yes', GROUP)
  } finally {
    run('losetup', ['--detach', loop])
    rmSync(system, { recursive: true })
    rmSync(file)
  }
}
