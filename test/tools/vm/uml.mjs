// User-Mode Linux: a kernel as an ordinary process. User code runs at native speed, system calls cost more, and there is
// one processor. It needs x86-64, seccomp or ptrace, and room for its memory in a file; it needs neither KVM nor root.
import { spawnSync } from 'node:child_process'
import { accessSync, constants, readFileSync, statfsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { childrenOf, spawnGroup } from './children.mjs'
import { ensureKernel } from './kernel.mjs'
import { claimProcessor } from './processor.mjs'

const MEMORY = 3 * 2 ** 30
/** Free at the start; the file grows with what the guest uses. */
const LEAST_FREE = 2 ** 30

/**
 * Its processes are stopped by seccomp if its kernel and this machine's have that (Linux 6.16 in the guest), else by ptrace.
 * The guest can then read and write the memory of its kernel, which matters to nobody here.
 */
const STOPPED_BY = 'seccomp=auto'

/** @type {import('./machine.mjs').Machine} */
export const uml = {
  name: 'uml',
  ensureKernel: say => ensureKernel('uml', say),
  accelerator: async () => 'uml',
  devices: {
    out: '/dev/ttyS1',
    control: '/dev/ttyS2',
    shell: '/dev/ttyS3',
    console: '/dev/console',
    scratch: '/dev/ubda',
  },
  start,
}

/** @type {import('./machine.mjs').Machine['start']} */
async function start({ kernel, folder, scratch, console: log }) {
  const own = childrenOf()
  const args = [`mem=${MEMORY / 2 ** 20}M`, 'rootfstype=hostfs', 'rootflags=/', 'ro', `init=${folder}/init.sh`, 'quiet']
  // Descriptors: 3 output, 4 control, 5 shell, 6 the scratch disk (without a name by now), 7 the kernel's console.
  args.push('con=null', 'con0=null,fd:7', 'ssl=null', 'ssl1=null,fd:3', 'ssl2=null,fd:4', 'ssl3=fd:5,fd:5')
  args.push(STOPPED_BY, 'ubd0=/proc/self/fd/6', `uml_dir=${folder}`, 'umid=uml', 'random.trust_cpu=on')
  /** @type {import('./children.mjs').Stdio} */
  const stdio = ['pipe', log, log, 'pipe', 'pipe', 'pipe', scratch, log]
  const memory = memoryFolder()
  const env = { ...process.env, TMPDIR: memory, TMP: memory, TEMP: memory, HOME: folder }
  const processor = await claimProcessor()
  const command = ['-c', String(processor.number), kernel.image, ...args]
  const main = spawnGroup('taskset', command, { stdio, env }, [folder])
  main.once('close', processor.release)
  own.add(main, { group: true })
  /** @type {any[]} The descriptors above are pipes. */
  const [, , , out, control, shell] = main.stdio
  return { main, out, control, shell, children: own }
}

/** A guest's memory is a file without a name that is mapped executable. */
export function memoryFolder(folders = ['/dev/shm', tmpdir()], look = lookAt) {
  const reasons = []
  for (const folder of folders) {
    const reason = look(folder)
    if (reason === undefined) return folder
    reasons.push(`${folder} ${reason}`)
  }
  throw new Error(
    `User-Mode Linux has no place for its memory: ${reasons.join(', ')}. ` +
      'Set TMPDIR to a folder with 3 GiB that allows execution, or DM_THIN_VM=qemu.',
  )
}

/** @param {string} folder @returns {string | undefined} why it does not serve */
function lookAt(folder) {
  try {
    accessSync(folder, constants.W_OK)
  } catch {
    return 'cannot be written'
  }
  const { bavail, bsize } = statfsSync(folder)
  if (bavail * bsize < LEAST_FREE) return `has ${Math.floor((bavail * bsize) / 2 ** 20)} MiB free, and 1024 are needed`
  return isNoexec(folder) ? 'is mounted noexec' : undefined
}

function isNoexec(folder) {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map(line => line.split(' '))
  const holding = mounts.filter(words => words[4] && `${folder}/`.startsWith(words[4] === '/' ? '/' : `${words[4]}/`))
  const own = holding.sort((a, b) => a[4].length - b[4].length).at(-1)
  return own?.[5].split(',').includes('noexec') ?? false
}

/**
 * Why it cannot start here, or undefined if it can: it boots as far as looking for a first process that there is not.
 * @param {import('./kernel.mjs').Kernel} kernel
 */
export function whyNoUml(kernel) {
  let memory
  try {
    memory = memoryFolder()
  } catch (error) {
    return error.message
  }
  const folder = join(memory, `dm-thin-uml-probe-${process.pid}`)
  const args = ['mem=64M', 'rootfstype=hostfs', 'rootflags=/', 'ro', 'init=/nonexistent/init', 'panic=-1', 'con=null']
  args.push('con0=null,fd:1', `uml_dir=${folder}`, 'umid=probe', STOPPED_BY)
  const env = { ...process.env, TMPDIR: memory, TMP: memory, TEMP: memory }
  const options = /** @type {const} */ ({ env, encoding: 'utf8', timeout: 20_000, killSignal: 'SIGKILL' })
  const script = 'trap "" TERM; "$@" </dev/null 2>&1; rm -rf "$0"'
  const { stdout = '' } = spawnSync('setsid', ['-w', '/bin/sh', '-c', script, folder, kernel.image, ...args], options)
  if (/Requested init|VFS: Mounted root|Run \/nonexistent/.test(stdout)) return undefined
  const ptrace = /ptrace/i.test(stdout) ? ' (ptrace is not permitted: a container may need --cap-add SYS_PTRACE)' : ''
  return `User-Mode Linux does not start here${ptrace}:\n${stdout.trim().split('\n').slice(-8).join('\n')}`
}
