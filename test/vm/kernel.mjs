// The guest's kernel: Debian's stock cloud kernel, unpacked into a cache folder and never installed, so that no
// boot loader or initramfs hook of the host runs. `apt-get download` checks it against the signed package index.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'

const repository = resolve(import.meta.dirname, '../..')
const DAY = 24 * 3600 * 1000

/** @typedef {{ release: string, dir: string, image: string }} Kernel */

/** Where everything that can be fetched or made again is kept. */
export function cacheDir() {
  const dir = process.env.DM_THIN_CACHE ? resolve(process.env.DM_THIN_CACHE) : join(repository, '.cache/vm')
  mkdirSync(dir, { recursive: true })
  return dir
}

/**
 * The kernel to boot: the newest in the archive, looked up once a day; without network the newest in the cache.
 * @param {(line: string) => void} say
 * @returns {Kernel}
 */
export function ensureKernel(say = () => {}) {
  if (process.arch !== 'x64') {
    throw new Error(
      `the virtual machine is made for x86-64 hosts so far, and this one is ${process.arch}. ` +
        'On a machine with device mapper, "npm run test:here" runs the tests on its own kernel.',
    )
  }
  const kernels = join(cacheDir(), 'kernel')
  mkdirSync(kernels, { recursive: true })
  const cached = newestCached(kernels)
  const stamp = join(kernels, 'looked-up')
  if (cached && existsSync(stamp) && Date.now() - statSync(stamp).mtimeMs < DAY) return cached
  try {
    const name = packageName()
    const kernel = describe(kernels, name.replace(/^linux-image-/, ''))
    if (!existsSync(kernel.image)) unpack(name, kernel, kernels, say)
    writeFileSync(stamp, '')
    return kernel
  } catch (error) {
    if (!cached) throw error
    say(`kernel: the archive cannot be asked, using ${cached.release} from the cache`)
    return cached
  }
}

/** @param {string} kernels @param {string} release @returns {Kernel} */
function describe(kernels, release) {
  const dir = join(kernels, release)
  return { release, dir, image: join(dir, 'vmlinuz') }
}

/** @param {string} kernels */
function newestCached(kernels) {
  const releases = readdirSync(kernels).filter(name => existsSync(join(kernels, name, 'vmlinuz')))
  releases.sort((a, b) => a.localeCompare(b, 'en', { numeric: true }))
  const newest = releases.at(-1)
  return newest === undefined ? undefined : describe(kernels, newest)
}

/** linux-image-cloud-amd64 is an empty package that depends on the current kernel's. */
function packageName() {
  const ask = () => /Depends: (linux-image-\S+)/.exec(run('apt-cache', ['depends', 'linux-image-cloud-amd64']))?.[1]
  let name = ask()
  if (name === undefined) {
    updateIndex()
    name = ask()
  }
  if (name === undefined) throw new Error('apt knows no package linux-image-cloud-amd64: is this Debian?')
  return name
}

/** @param {string} name @param {Kernel} kernel @param {string} kernels @param {(line: string) => void} say */
function unpack(name, kernel, kernels, say) {
  say(`kernel: downloading ${name} (about 35 MB) and unpacking it into the cache; it is not installed`)
  const work = mkdtempSync(join(kernels, '.unpack-'))
  try {
    const download = () => run('apt-get', ['download', '-q', '-o', 'APT::Sandbox::User=root', name], work)
    try {
      download()
    } catch {
      updateIndex() // the index names a version that the archive has replaced
      download()
    }
    const file = readdirSync(work).find(entry => entry.endsWith('.deb'))
    if (file === undefined) throw new Error(`apt-get download ${name} left no file`)
    run('dpkg-deb', ['-x', file, 'x'], work)
    const made = join(work, 'made')
    mkdirSync(join(made, 'lib'), { recursive: true })
    renameSync(join(work, 'x/boot', `vmlinuz-${kernel.release}`), join(made, 'vmlinuz'))
    const modules = ['x/usr/lib/modules', 'x/lib/modules'].map(path => join(work, path)).find(path => existsSync(path))
    if (modules === undefined) throw new Error(`${basename(file)} holds no modules`)
    renameSync(modules, join(made, 'lib/modules'))
    // Decompressed once here, not in every emulated guest.
    run('sh', ['-c', "find lib -name '*.ko.xz' -print0 | xargs -0 -r -P 4 -n 50 xz -d -q"], made)
    run('depmod', ['-b', made, kernel.release])
    rmSync(kernel.dir, { recursive: true, force: true })
    renameSync(made, kernel.dir)
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

function updateIndex() {
  if (process.getuid?.() !== 0) throw new Error('apt has no usable index; run as root: apt-get update')
  run('apt-get', ['update', '-q'])
}

/** @param {string} file @param {string[]} args @param {string} [cwd] */
function run(file, args, cwd) {
  const env = { ...process.env, LC_ALL: 'C', PATH: `${process.env.PATH}:/usr/sbin:/sbin` }
  try {
    return execFileSync(file, args, { cwd, env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
  } catch (error) {
    const detail = String(error.stderr ?? error.message).trim()
    throw new Error(`${file} ${args.join(' ')} failed: ${detail}`, { cause: error })
  }
}
