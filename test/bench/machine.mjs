// What a figure was measured on: no number is published without it.
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs'
import os from 'node:os'

function firstLine(path) {
  try {
    return readFileSync(path, 'utf8').split('\n')[0].trim()
  } catch {
    return ''
  }
}

/**
 * `tcg` (emulation: every time is 10 to 40 times a real machine's), `kvm`, another hypervisor, or `none`.
 * The harness of the guest knows and says it in the environment; elsewhere the processor tells.
 */
export function accelerator(env = process.env, cpuinfo = readFileSync('/proc/cpuinfo', 'utf8')) {
  const told = env.DM_THIN_ACCELERATOR ?? env.DM_THIN_ACCEL
  if (told) return told
  if (/QEMU TCG/.test(cpuinfo)) return 'tcg'
  if (!/^flags\s*:.*\bhypervisor\b/m.test(cpuinfo)) return 'none'
  return /qemu|kvm/i.test(firstLine('/sys/class/dmi/id/sys_vendor')) ? 'kvm' : 'hypervisor'
}

/** The node alone says nothing: tools make it on kernels that have no device mapper. Opening it tells. */
export function hasDeviceMapper() {
  try {
    closeSync(openSync('/dev/mapper/control', 'r+'))
    return true
  } catch {
    return false
  }
}

export function availableMegabytes() {
  const line = /^MemAvailable:\s+(\d+) kB$/m.exec(readFileSync('/proc/meminfo', 'utf8'))
  return Math.floor(Number(line[1]) / 1024)
}

export function describeMachine() {
  return {
    accelerator: accelerator(),
    kernel: os.release(),
    node: process.version,
    cores: os.availableParallelism(),
    cpu: os.cpus()[0]?.model.trim() ?? 'unknown',
    memory: `${(os.totalmem() / 2 ** 30).toFixed(1)} GiB`,
    arch: process.arch,
    udev: existsSync('/run/udev/control'),
    date: new Date().toISOString(),
  }
}
