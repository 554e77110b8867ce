// The guests' kernels: Debian's stock cloud kernel for QEMU, and its User-Mode Linux. Each is unpacked into the cache.
import { existsSync, mkdirSync, readdirSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { askIndex, candidate, dependency, indexOfSuite, run, unpackPackages } from './apt.mjs'
import { cacheDir } from './cache.mjs'

const DAY = 24 * 3600 * 1000

/**
 * `image` is what starts, `dir` has lib/modules/RELEASE.
 * @typedef {{ release: string, dir: string, image: string }} Kernel
 * @typedef {{ name: string, version: string, index?: string[] }} Package
 * @typedef {{ folder: string, title: string, newest: () => Promise<Package>, newer?: (say: Say, cached: string[]) => Promise<Package | undefined>,
 *   arrange: (tree: string) => Promise<string> }} Source `newer`: a package of another suite that is better if it runs here
 * @typedef {(line: string) => void} Say
 */

/**
 * The User-Mode Linux of Debian testing that the tests have run on. It is used on Debian stable too: since Linux 6.16 its
 * processes can be stopped by seccomp instead of ptrace, which halves the cost of a system call and of a page fault.
 */
const TESTED = '7.2'

/** @type {Record<'qemu' | 'uml', Source>} */
const SOURCES = {
  qemu: {
    folder: 'qemu',
    title: 'the stock cloud kernel (35 MB)',
    // linux-image-cloud-amd64 is an empty package that depends on the current kernel's.
    async newest() {
      const ask = () => dependency('linux-image-cloud-amd64', /Depends: (linux-image-\S+)/)
      const name = await askIndex(ask, 'linux-image-cloud-amd64')
      return { name, version: name.replace(/^linux-image-/, '') }
    },
    async arrange(tree) {
      const made = join(tree, 'made')
      const release = moveModules(tree, ['usr/lib/modules', 'lib/modules'], made)
      renameSync(join(tree, 'boot', `vmlinuz-${release}`), join(made, 'image'))
      // Decompressed once here, not in every emulated guest.
      await run('sh', ['-c', "find lib -name '*.ko.xz' -print0 | xargs -0 -r -P 4 -n 50 xz -d -q"], made)
      await run('depmod', ['-b', made, release])
      return made
    },
  },
  uml: {
    folder: 'uml',
    title: 'User-Mode Linux (36 MB)',
    async newest() {
      const name = 'user-mode-linux'
      return { name, version: await askIndex(() => candidate(name), name) }
    },
    async newer(say, cached) {
      const name = 'user-mode-linux'
      const known = cached.find(version => version.startsWith(`${TESTED}um`))
      if (known !== undefined) return { name, version: known }
      const index = await indexOfSuite('testing')
      const version = index && (await candidate(name, index))
      if (version === undefined) return undefined
      if (version.startsWith(`${TESTED}um`)) return { name, version, index }
      say(
        `kernel: the tests were not run on User-Mode Linux ${version} of Debian testing, and need ${TESTED} to be fast`,
      )
      return undefined
    },
    async arrange(tree) {
      const made = join(tree, 'made')
      moveModules(tree, ['usr/lib/uml/modules'], made)
      renameSync(join(tree, 'usr/bin/linux.uml'), join(made, 'image'))
      // One of another suite may need a newer C library.
      await run(join(made, 'image'), ['--version'])
      return made
    },
  },
}

/** @param {string} tree @param {string[]} places @param {string} made @returns {string} the kernel's release */
function moveModules(tree, places, made) {
  const modules = places.map(path => join(tree, path)).find(path => existsSync(path))
  if (modules === undefined) throw new Error(`the kernel's package holds no modules`)
  mkdirSync(join(made, 'lib'), { recursive: true })
  renameSync(modules, join(made, 'lib/modules'))
  return readdirSync(join(made, 'lib/modules'))[0]
}

/**
 * The kernel to start: the newest in the archive, looked up once a day; without network the newest in the cache.
 * @param {'qemu' | 'uml'} machine @param {(line: string) => void} say @returns {Promise<Kernel>}
 */
export async function ensureKernel(machine, say = () => {}) {
  if (process.arch !== 'x64') {
    throw new Error(
      `the virtual machine is made for x86-64 hosts so far, and this one is ${process.arch}. ` +
        'On a machine with device mapper, "npm run test:here" runs the tests on its own kernel.',
    )
  }
  const source = SOURCES[machine]
  const kernels = join(cacheDir(), source.folder)
  mkdirSync(kernels, { recursive: true })
  const cached = newestCached(kernels)
  const stamp = join(kernels, 'looked-up')
  if (cached && existsSync(stamp) && Date.now() - statSync(stamp).mtimeMs < DAY) return describe(cached)
  /** @param {Package} wanted */
  const fetched = async ({ name, version, index }) => {
    const folder = join(kernels, version)
    if (!existsSync(join(folder, 'image'))) {
      say(`kernel: downloading ${source.title} and unpacking it into the cache; it is not installed`)
      await unpackPackages([name], folder, { keep: true, index, arrange: source.arrange })
    }
    writeFileSync(stamp, '')
    return describe(folder)
  }
  const newer = async () => {
    try {
      const wanted = await source.newer?.(say, versionsIn(kernels))
      return wanted && (await fetched(wanted))
    } catch (error) {
      say(`kernel: Debian testing's cannot be used: ${error.message.split('\n')[0]}`)
      return undefined
    }
  }
  try {
    return (await newer()) ?? (await fetched(await source.newest()))
  } catch (error) {
    if (!cached) throw error
    say(`kernel: the archive cannot be asked, using ${cached} from the cache`)
    return describe(cached)
  }
}

/** @param {string} dir @returns {Kernel} */
const describe = dir => ({ release: readdirSync(join(dir, 'lib/modules'))[0], dir, image: join(dir, 'image') })

/** @param {string} kernels @returns {string[]} the oldest first */
function versionsIn(kernels) {
  const versions = readdirSync(kernels).filter(name => existsSync(join(kernels, name, 'image')))
  return versions.sort((a, b) => a.localeCompare(b, 'en', { numeric: true }))
}

/** @param {string} kernels */
function newestCached(kernels) {
  const newest = versionsIn(kernels).at(-1)
  return newest && join(kernels, newest)
}
