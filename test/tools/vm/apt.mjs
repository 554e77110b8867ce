// Debian packages, fetched and unpacked into a folder and never installed: no daemon of theirs starts, no hook of the
// boot loader runs, and no root is needed. apt checks each against the signed package index.
import { execFile } from 'node:child_process'
import {
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { cacheDir } from './cache.mjs'

const execute = promisify(execFile)
const HOUR = 3600 * 1000

/** @param {string} file @param {string[]} args @param {string} [cwd] @returns {Promise<string>} standard output */
export async function run(file, args, cwd) {
  const own = { LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive', PATH: `${process.env.PATH}:/usr/sbin:/sbin` }
  const env = { ...process.env, ...own }
  try {
    return (await execute(file, args, { cwd, env, maxBuffer: 2 ** 26 })).stdout
  } catch (error) {
    const detail = String(error.stderr || error.message).trim()
    throw new Error(`${file} ${args.join(' ')} failed: ${detail}`, { cause: error })
  }
}

const isRoot = () => process.getuid?.() === 0

/** An ordinary user has an index of their own once the machine's one did not serve. */
function indexOptions() {
  const own = join(cacheDir(), 'apt')
  return isRoot() || !existsSync(own) ? [] : [`Dir::State::lists=${own}/lists`, `Dir::Cache=${own}`]
}

const apt = (words, options = []) => {
  const all = ['Debug::NoLocking=1', 'APT::Sandbox::User=root', ...indexOptions(), ...options]
  return [...words, ...all.flatMap(each => ['-o', each])]
}

/** @param {string[]} [index] */
async function updateIndex(index) {
  if (!isRoot()) mkdirSync(join(cacheDir(), 'apt/lists/partial'), { recursive: true })
  await run('apt-get', apt(['update', '-q'], index))
}

/**
 * Returns the options of an index of another suite of the Debian archive that this machine uses, brought up to date and
 * kept in the cache; undefined if the machine uses none. The machine's own index does not change.
 * @param {string} suite @returns {Promise<string[] | undefined>}
 */
export async function indexOfSuite(suite) {
  const format = '$(ORIGIN) $(IDENTIFIER) $(REPO_URI) $(SIGNED_BY)'
  const lines = (await run('apt-get', apt(['indextargets', '--format', format])))
    .split('\n')
    .map(line => line.split(' '))
  const target = lines.find(
    ([origin, kind, uri]) => origin === 'Debian' && kind === 'Packages' && !/security/.test(uri),
  )
  if (target === undefined) return undefined
  const [, , uri, key] = target
  const own = join(cacheDir(), `apt-${suite}`)
  mkdirSync(join(own, 'lists/partial'), { recursive: true })
  writeFileSync(
    join(own, 'sources.list'),
    `deb ${key?.startsWith('/') ? `[signed-by=${key}] ` : ''}${uri} ${suite} main\n`,
  )
  const index = [
    `Dir::Etc::SourceList=${own}/sources.list`,
    'Dir::Etc::SourceParts=/dev/null',
    `Dir::State::lists=${own}/lists`,
    `Dir::Cache=${own}`,
    'Acquire::Languages=none',
    'Acquire::GzipIndexes=true',
  ]
  await updateIndex(index)
  return index
}

/**
 * The version that the index has of a package, or undefined.
 * @param {string} name @param {string[]} [index] what `indexOfSuite` returned
 */
export async function candidate(name, index) {
  const text = await run('apt-cache', apt(['policy', name], index)).catch(() => '')
  const version = /Candidate: (\S+)/.exec(text)?.[1]
  return version === '(none)' ? undefined : version
}

/** What a package that is a name for the current version of another depends on. @param {string} name @param {RegExp} wanted */
export async function dependency(name, wanted) {
  return wanted.exec(await run('apt-cache', apt(['depends', name])).catch(() => ''))?.[1]
}

/**
 * Asks the index, and once more after it was brought up to date.
 * @template T @param {() => Promise<T | undefined>} ask @param {string} name @returns {Promise<T>}
 */
export async function askIndex(ask, name) {
  const first = await ask()
  if (first !== undefined) return first
  await updateIndex()
  const second = await ask()
  if (second !== undefined) return second
  throw new Error(`apt knows no package ${name}: is this Debian?`)
}

/**
 * Unpacks packages and puts the result in its place as a whole. Two that do the same at once come to the same result.
 * @param {string[]} names @param {string} to replaced if it exists, unless `keep`
 * @param {{ dependencies?: boolean, keep?: boolean, index?: string[], arrange?: (folder: string) => Promise<string> }} [options]
 *   dependencies: also all that they need and this machine has not. arrange: gets the unpacked tree, returns the folder
 *   that is moved to `to`. keep: what another put there meanwhile stays. index: what `indexOfSuite` returned.
 */
export async function unpackPackages(names, to, { dependencies = false, keep = false, index, arrange } = {}) {
  mkdirSync(dirname(to), { recursive: true })
  removeOldAttempts(dirname(to))
  const work = mkdtempSync(join(dirname(to), '.unpack-'))
  const archives = join(work, 'archives')
  const tree = join(work, 'tree')
  mkdirSync(join(archives, 'partial'), { recursive: true })
  mkdirSync(tree)
  const words = dependencies
    ? apt(
        ['install', '-y', '--no-install-recommends', '--download-only', ...names],
        [`Dir::Cache::archives=${archives}/`],
      )
    : apt(['download', '-q', ...names], index)
  const download = () => run('apt-get', words, archives)
  try {
    await download().catch(async () => {
      await updateIndex(index) // the index names a version that the archive has replaced, or there is none
      await download()
    })
    const files = readdirSync(archives).filter(name => name.endsWith('.deb'))
    for (const file of files) await run('dpkg-deb', ['-x', join(archives, file), tree])
    mergeUsr(tree)
    const made = (await arrange?.(tree)) ?? tree
    place(made, to, keep)
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

/** A run that was killed in the middle leaves its folder. @param {string} folder */
function removeOldAttempts(folder) {
  for (const name of readdirSync(folder).filter(each => each.startsWith('.unpack-'))) {
    const path = join(folder, name)
    const age = Date.now() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Date.now())
    if (age > HOUR) rmSync(path, { recursive: true, force: true })
  }
}

/** Packages of Debian 12 still have files in /bin, /sbin and /lib, which are links to folders of /usr. @param {string} tree */
function mergeUsr(tree) {
  for (const name of ['bin', 'sbin', 'lib', 'lib64']) {
    const path = join(tree, name)
    if (!lstatSync(path, { throwIfNoEntry: false })?.isDirectory()) continue
    cpSync(path, join(tree, 'usr', name), { recursive: true, verbatimSymlinks: true })
    rmSync(path, { recursive: true })
  }
}

function place(made, to, keep) {
  if (!keep) rmSync(to, { recursive: true, force: true })
  try {
    renameSync(made, to)
  } catch (error) {
    if (!['ENOTEMPTY', 'EEXIST'].includes(error.code)) throw error // another was faster
  }
}
