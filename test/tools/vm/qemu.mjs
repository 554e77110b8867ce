// QEMU: a stock kernel with as many processors as wanted, by KVM where that works, emulated elsewhere.
import { accessSync, constants, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { cacheDir, repository } from './cache.mjs'
import { childrenOf, spawnBound } from './children.mjs'
import { ensureKernel } from './kernel.mjs'
import { claimProcessor } from './processor.mjs'
import { toolEnvironment, toolPath, toolsRoot } from './tools.mjs'

const QEMU = 'qemu-system-x86_64'
const PROBE_LIMIT = 8000

/** @type {import('./machine.mjs').Machine} */
export const qemu = {
  name: 'qemu',
  ensureKernel: say => ensureKernel('qemu', say),
  accelerator: (kernel, say) => accelerator(kernel, cacheDir(), say),
  devices: { out: 'vm.out', control: 'vm.ctl', shell: '/dev/hvc0', console: '/dev/ttyS0', scratch: '/dev/vda' },
  start,
}

/** @type {import('./machine.mjs').Machine['start']} */
async function start({ kernel, accelerator, processors, folder, scratch, console: log, fail }) {
  const reserved = await claimProcessor(2)
  const own = childrenOf()
  const tools = toolsRoot()
  /** @type {[tag: string, directory: string, options: string[]][]} */
  const shares = [
    ['rootfs', '/', ['--readonly', '--cache=always']],
    ['worktree', repository, ['--cache=auto']],
  ]
  if (tools) shares.push(['tools', tools, ['--readonly', '--cache=always']])
  for (const [tag, directory, extra] of shares) {
    const child = share(folder, tag, directory, extra)
    let complaints = ''
    child.stderr?.on('data', chunk => (complaints += chunk))
    child.on('error', fail)
    child.on('exit', code => {
      if (code && !own.ended) fail(new Error(`virtiofsd for ${directory} ended with ${code}: ${complaints.trim()}`))
    })
    own.add(child)
  }
  for (const [tag] of shares) await socketOf(join(folder, `${tag}.sock`), () => own.ended)
  const args = qemuArguments({ kernel, accelerator, processors, folder, tags: shares.map(([tag]) => tag) })
  /** @type {import('./children.mjs').Stdio} */
  const stdio = ['ignore', 'ignore', 'pipe', 'pipe', 'pipe', scratch, 'pipe', log]
  const main = spawnBound(toolPath(QEMU), [...firmware(), ...args], { stdio, env: toolEnvironment() })
  main.once('close', reserved.release)
  own.add(main)
  /** @type {any[]} The descriptors above are pipes. */
  const [, , , control, shell, , out] = main.stdio
  return { main, control, shell, out, children: own }
}

/** The firmware of a QEMU that is unpacked and not installed. */
function firmware() {
  const root = toolsRoot()
  if (root === undefined || !toolPath(QEMU).startsWith(`${root}/`)) return []
  return ['usr/share/qemu', 'usr/share/seabios'].flatMap(path => ['-L', join(root, path)])
}

/** @param {string} folder @param {string} tag @param {string} directory @param {string[]} extra */
function share(folder, tag, directory, extra) {
  const args = ['--socket-path', join(folder, `${tag}.sock`), '--shared-dir', directory, '--sandbox=none']
  args.push('--no-announce-submounts', '--log-level=error', ...extra)
  return spawnBound(virtiofsd(), args, { stdio: ['ignore', 'ignore', 'pipe'], env: toolEnvironment() })
}

/** @param {string} path @param {() => boolean} ended */
async function socketOf(path, ended) {
  for (let waited = 0; !existsSync(path); waited += 10) {
    if (waited > 5000) throw new Error(`virtiofsd does not make ${path}`)
    if (ended()) return
    await sleep(10)
  }
}

/** virtiofsd is not on PATH in Debian. */
function virtiofsd() {
  const places = ['/usr/libexec/virtiofsd', '/usr/lib/qemu/virtiofsd', '/usr/bin/virtiofsd']
  const found = places.map(toolPath).find(path => existsSync(path))
  if (found === undefined) throw new Error('virtiofsd is missing: "npm run vm -- --qemu true" fetches it')
  return found
}

/**
 * Emulated is the plain processor: what `max` has more (AVX, SMAP, string instructions said to be fast, 57-bit addresses)
 * is used by the kernel and the C library and costs the emulator more than what it replaces. A fifth of the tests' time.
 * @param {string} accelerator `kvm` or `tcg`
 */
function acceleration(accelerator) {
  return accelerator === 'kvm'
    ? ['-accel', 'kvm', '-cpu', 'host']
    : ['-accel', 'tcg,thread=multi,tb-size=512', '-cpu', 'qemu64,+rdrand']
}

/**
 * KVM only if a guest really starts with it: on some machines /dev/kvm opens and a guest dies at once. The verdict
 * is kept until the next boot.
 * @param {import('./kernel.mjs').Kernel} kernel @param {string} cache @param {(line: string) => void} say
 * @returns {Promise<'kvm' | 'tcg'>}
 */
async function accelerator(kernel, cache, say) {
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
    /** @type {import('./children.mjs').Stdio} */
    const stdio = ['ignore', 'pipe', 'ignore']
    const child = spawnBound(toolPath(QEMU), [...firmware(), ...args], { stdio, env: toolEnvironment() })
    const limit = setTimeout(() => child.kill('SIGKILL'), PROBE_LIMIT)
    let text = ''
    child.stdout?.on('data', chunk => {
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
 * @param {{ kernel: import('./kernel.mjs').Kernel, accelerator: string, folder: string, processors: number,
 *   tags: string[] }} options
 */
function qemuArguments({ kernel, accelerator, folder, processors, tags }) {
  const append = ['root=rootfs rootfstype=virtiofs ro', `init=${folder}/init.sh`, 'console=ttyS0 quiet panic=-1']
  // Where the host is busy, a second or so can pass between two instructions of the guest; its check whether the timer
  // ticks would then end in a panic.
  append.push('mitigations=off random.trust_cpu=on nowatchdog no_timer_check')
  // For the same reason, the kernel does not report a processor or a work queue that makes no progress for a while.
  append.push('rcupdate.rcu_cpu_stall_suppress=1 workqueue.watchdog_thresh=0')
  const device = tag => [
    ['-chardev', `socket,id=${tag},path=${folder}/${tag}.sock`],
    ['-device', `vhost-user-fs-pci,queue-size=1024,chardev=${tag},tag=${tag}`],
  ]
  return [
    ['-machine', 'q35,memory-backend=memory,sata=off,smbus=off,i8042=off', ...acceleration(accelerator)],
    ['-object', 'memory-backend-memfd,id=memory,size=3G,share=on', '-m', '3G', '-smp', `${processors}`],
    ['-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none', '-nic', 'none'],
    ['-kernel', kernel.image, '-append', append.join(' ')],
    ...tags.flatMap(device),
    ['-chardev', 'file,id=console,path=/dev/fdset/2', '-serial', 'chardev:console'],
    ['-device', 'virtio-serial-pci'],
    ['-chardev', 'socket,id=shell,fd=4', '-device', 'virtconsole,chardev=shell'],
    ['-chardev', 'socket,id=out,fd=6', '-device', 'virtserialport,chardev=out,name=vm.out,nr=1'],
    ['-chardev', 'socket,id=ctl,fd=3', '-device', 'virtserialport,chardev=ctl,name=vm.ctl,nr=2'],
    ['-add-fd', 'fd=7,set=2', '-add-fd', 'fd=5,set=1'],
    ['-blockdev', scratchDisk(), '-device', 'virtio-blk-pci,drive=scratch,serial=scratch'],
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
