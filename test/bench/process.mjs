// One trial is one fresh process: no warm code, no grown heap and no thread of an earlier trial is in its figures.
import { execFile, execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { toolsRoot } from '../tools/vm/tools.mjs'

export const here = dirname(fileURLToPath(import.meta.url))
export const root = join(here, '..', '..')

const TRIAL_LIMIT_MS = 300_000
const peerSources = join(here, 'peers', 'c')
const binaries = join(root, '.cache', 'bench')

/**
 * The same trials over two ways to the kernel: `without` is the source of the other way. The library is named with its
 * version, since the link without one leads nowhere if its package is unpacked and that of the library installed.
 */
const cPeers = {
  c: { binary: join(binaries, 'peer'), without: 'libdm.c', libraries: [] },
  libdevmapper: {
    binary: join(binaries, 'peer-libdevmapper'),
    without: 'dm.c',
    libraries: ['-l:libdevmapper.so.1.02.1'],
  },
}

/** Where the headers and libraries of packages are that the set-up has unpacked. */
function unpackedOptions() {
  const tools = toolsRoot()
  if (tools === undefined) return []
  const libraries = readdirSync(join(tools, 'usr/lib')).filter(name => name.endsWith('-linux-gnu'))
  return [`-I${join(tools, 'usr/include')}`, ...libraries.map(name => `-L${join(tools, 'usr/lib', name)}`)]
}

/** Compiles a C peer when its sources are newer; kept outside the tracked tree, so that a guest finds it ready. */
export function buildPeer(name) {
  const { binary, without, libraries } = cPeers[name]
  const sources = readdirSync(peerSources).map(file => join(peerSources, file))
  const newest = Math.max(...sources.map(path => statSync(path).mtimeMs))
  if (existsSync(binary) && statSync(binary).mtimeMs > newest) return
  mkdirSync(binaries, { recursive: true })
  const files = sources.filter(path => path.endsWith('.c') && !path.endsWith(`/${without}`))
  const options = ['-O2', '-Wall', '-pthread', '-D_GNU_SOURCE']
  execFileSync('cc', [...options, ...unpackedOptions(), '-o', binary, ...files, ...libraries], { stdio: 'inherit' })
}

/** Built by the set-up from peers/containerd/main.go, where Go and containerd's sources can be had. */
export const containerdProgram = join(binaries, 'containerd')

/** Whether a program of the table can be run on this machine. */
export const isAvailable = program => program !== 'containerd' || existsSync(containerdProgram)

export function buildPeers() {
  for (const name of Object.keys(cPeers)) buildPeer(name)
}

const inNode = name => [process.execPath, join(here, 'peers', `${name}.mjs`)]

export const programs = {
  c: [cPeers.c.binary],
  libdevmapper: [cPeers.libdevmapper.binary],
  ours: inNode('ours'),
  dmsetup: inNode('dmsetup'),
  containerd: inNode('containerd'),
  files: inNode('files'),
  'beside-c': inNode('beside-c'),
  start: inNode('start'),
}

/** Of what a dying program says, the line that names the fault: a stack trace has no place in results. */
function lastWords(stderr) {
  const lines = stderr.trim().split('\n')
  const first = lines.findIndex(line => /^\S*Error\b/.test(line))
  if (first < 0) return lines[0]
  const stack = lines.findIndex((line, at) => at > first && /^\s+at /.test(line))
  return lines.slice(first, Math.max(stack, first + 1)).join('; ')
}

/** Starts a peer's program for one trial and gives its samples; a failure carries what the program said. */
export function runTrial(program, trial, options, limitMs = TRIAL_LIMIT_MS) {
  const [command, ...args] = programs[program]
  const pairs = Object.entries(options).map(([key, value]) => `${key}=${value}`)
  return new Promise((resolve, reject) => {
    const limits = { timeout: limitMs, killSignal: 'SIGKILL', maxBuffer: 64 * 2 ** 20, cwd: root }
    execFile(command, [...args, trial, ...pairs], limits, (error, stdout, stderr) => {
      if (error) {
        const reason = error.killed ? `ended after ${limitMs / 1000} s` : lastWords(stderr) || error.message
        reject(new Error(`${program} ${trial}: ${reason}`))
      } else {
        resolve(JSON.parse(stdout.trim().split('\n').at(-1)))
      }
    })
  })
}
