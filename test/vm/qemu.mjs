// QEMU's command line, and which accelerator to use.
import { spawn } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { accessSync, constants, existsSync } from 'node:fs'
import { join } from 'node:path'

export const QEMU = 'qemu-system-x86_64'
const PROBE_LIMIT = 8000

/** virtiofsd is not on PATH in Debian. */
export function virtiofsd() {
  const found = ['/usr/libexec/virtiofsd', '/usr/lib/qemu/virtiofsd', '/usr/bin/virtiofsd'].find(path =>
    existsSync(path),
  )
  if (found === undefined) throw new Error('virtiofsd is missing; run as root: apt-get install virtiofsd')
  return found
}

/**
 * Emulated is the plain processor: what `max` has more (AVX, SMAP, string instructions said to be fast, 57-bit addresses)
 * is used by the kernel and the C library and costs the emulator more than what it replaces. A fifth of the tests' time.
 * @param {'kvm' | 'tcg'} accelerator
 */
function acceleration(accelerator) {
  return accelerator === 'kvm'
    ? ['-accel', 'kvm', '-cpu', 'host']
    : ['-accel', 'tcg,thread=multi,tb-size=512', '-cpu', 'qemu64,+rdrand']
}

/**
 * Every child dies with the harness, even if the harness is killed outright.
 * @param {string} file @param {string[]} args @param {import('node:child_process').SpawnOptions} options
 */
export function spawnBound(file, args, options) {
  return spawn('setpriv', ['--pdeathsig', 'KILL', file, ...args], options)
}

/**
 * KVM only if a guest really starts with it: on some machines /dev/kvm opens and a guest dies at once. The verdict
 * is kept until the next boot.
 * @param {import('./kernel.mjs').Kernel} kernel @param {string} cache @param {(line: string) => void} say
 * @returns {Promise<'kvm' | 'tcg'>}
 */
export async function accelerator(kernel, cache, say) {
  const forced = process.env.DM_THIN_ACCEL
  if (forced === 'kvm' || forced === 'tcg') return forced
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK)
  } catch {
    return 'tcg'
  }
  const key = `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()} ${kernel.release}`
  const file = join(cache, 'accelerator.json')
  try {
    const verdict = JSON.parse(readFileSync(file, 'utf8'))
    if (verdict.key === key) return verdict.accelerator
  } catch {
    // not asked yet
  }
  const works = await bootsWithKvm(kernel)
  say(works ? 'accelerator: KVM starts a guest here' : 'accelerator: KVM does not start a guest here, emulating')
  const verdict = { key, accelerator: works ? 'kvm' : 'tcg' }
  writeFileSync(file, JSON.stringify(verdict))
  return works ? 'kvm' : 'tcg'
}

/** Boots the kernel without a root file system: it gets as far as missing it, or KVM does not work here. */
function bootsWithKvm(kernel) {
  return new Promise(done => {
    const args = ['-machine', 'q35', ...acceleration('kvm'), '-smp', '2', '-m', '512M', '-nodefaults', '-no-reboot']
    args.push('-display', 'none', '-serial', 'stdio', '-kernel', kernel.image, '-append', 'console=ttyS0 panic=-1')
    const child = spawnBound(QEMU, args, { stdio: ['ignore', 'pipe', 'ignore'] })
    const limit = setTimeout(() => child.kill('SIGKILL'), PROBE_LIMIT)
    let text = ''
    child.stdout.on('data', chunk => {
      text += chunk
    })
    child.on('error', () => done(false))
    child.on('close', () => {
      clearTimeout(limit)
      done(text.includes('Unable to mount root fs'))
    })
  })
}

/**
 * Descriptors that QEMU inherits: 3 control port, 4 shell's console, 5 scratch disk (already without a name),
 * 6 the command's output, 7 the kernel's console (without a name, too).
 * @param {{ kernel: import('./kernel.mjs').Kernel, accelerator: 'kvm' | 'tcg', folder: string, processors: number }} options
 */
export function qemuArguments({ kernel, accelerator, folder, processors }) {
  const append = ['root=rootfs rootfstype=virtiofs ro', `init=${folder}/init.sh`, 'console=ttyS0 quiet panic=-1']
  // Where the host is busy, a second or so can pass between two instructions of the guest; its check whether the timer
  // ticks would then end in a panic.
  append.push('mitigations=off random.trust_cpu=on nowatchdog no_timer_check')
  const share = tag => [
    ['-chardev', `socket,id=${tag},path=${folder}/${tag}.sock`],
    ['-device', `vhost-user-fs-pci,queue-size=1024,chardev=${tag},tag=${tag}`],
  ]
  return [
    ['-machine', 'q35,memory-backend=memory,sata=off,smbus=off,i8042=off', ...acceleration(accelerator)],
    ['-object', 'memory-backend-memfd,id=memory,size=3G,share=on', '-m', '3G', '-smp', `${processors}`],
    ['-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none', '-nic', 'none'],
    ['-kernel', kernel.image, '-append', append.join(' ')],
    ...share('rootfs'),
    ...share('worktree'),
    ['-chardev', 'file,id=console,path=/dev/fdset/2', '-serial', 'chardev:console'],
    ['-device', 'virtio-serial-pci'],
    ['-chardev', 'socket,id=shell,fd=4', '-device', 'virtconsole,chardev=shell'],
    ['-chardev', 'socket,id=out,fd=6', '-device', 'virtserialport,chardev=out,name=vm.out,nr=1'],
    ['-chardev', 'socket,id=ctl,fd=3', '-device', 'virtserialport,chardev=ctl,name=vm.ctl,nr=2'],
    [
      '-add-fd',
      'fd=7,set=2',
      '-add-fd',
      'fd=5,set=1',
      '-blockdev',
      scratchDisk(),
      '-device',
      'virtio-blk-pci,drive=scratch,serial=scratch',
    ],
  ].flat(2)
}

function scratchDisk() {
  return JSON.stringify({
    'node-name': 'scratch',
    driver: 'raw',
    file: { driver: 'file', filename: '/dev/fdset/1', locking: 'off' },
    discard: 'unmap',
    'detect-zeroes': 'off',
    cache: { direct: false, 'no-flush': true },
  })
}
