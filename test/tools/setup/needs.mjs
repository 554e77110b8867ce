// Checks the machine before anything else, and installs what is missing, saying so first.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { toolsRoot } from '../vm/tools.mjs'
import { distribution, installCommand, missingPackages, PURPOSE } from './packages.mjs'
import { quietly, say, SetupError, step } from './steps.mjs'

/** Users other than root often have no sbin on their PATH. */
export function completePath() {
  const wanted = ['/usr/local/sbin', '/usr/sbin', '/sbin']
  const have = (process.env.PATH ?? '').split(':').filter(Boolean)
  process.env.PATH = [...have, ...wanted.filter(folder => !have.includes(folder))].join(':')
}

export function checkPlatform() {
  if (process.platform !== 'linux') {
    throw new SetupError(`dm-thin works on Linux only, and this is ${process.platform}.`)
  }
  const major = Number(process.versions.node.split('.')[0])
  if (major < 20) {
    throw new SetupError(
      `Node 20 or later is needed, and this is ${process.version}.\n` +
        'Debian 13 brings it: apt-get install nodejs npm. Any other way to Node 20 is as good.',
    )
  }
}

/** The folder that holds include/node, or undefined. */
export function nodeDirectory() {
  const folders = [resolve(dirname(process.execPath), '..'), '/usr']
  return folders.find(folder => existsSync(join(folder, 'include/node/node_api.h')))
}

/** @param {import('./packages.mjs').Group[]} groups */
export async function ensurePackages(groups) {
  const missing = findMissing(groups)
  if (missing.length === 0) return
  const command = installCommand(missing)
  const system = distribution(existsSync('/etc/os-release') ? readFileSync('/etc/os-release', 'utf8') : '')
  if (!system.debian) {
    throw new SetupError(
      `${system.name} is not Debian, so nothing is installed by itself. Please install what these Debian packages ` +
        `hold, then repeat the command:\n${describe(missing)}`,
    )
  }
  if (process.getuid?.() !== 0) {
    throw new SetupError(
      `Some packages are missing, and only root can install them:\n${describe(missing)}\n` +
        `As root, run this, then repeat the command:\n  apt-get update && ${command}`,
    )
  }
  say(`These Debian packages are missing and will be installed now:\n${describe(missing)}`)
  const hint = `Please see to the above, run "apt-get update && ${command}", then repeat the command.`
  const env = { DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C.UTF-8' }
  const update = () => step('package index (apt-get update)', () => quietly(['apt-get', 'update'], { env, hint }))
  // One broken source must not stand in the way of the others: what counts is whether the packages can be had.
  const tryUpdate = () => update().catch(error => indexIsEmpty() && Promise.reject(error))
  const install = () => quietly(command.split(' '), { env, hint })
  let fresh = false
  if (indexIsEmpty()) {
    await tryUpdate()
    fresh = true
  }
  const title = `${missing.length} packages (apt-get install)`
  try {
    await step(title, install)
  } catch (error) {
    if (fresh) throw error
    await tryUpdate() // the usual cause: an index older than the archive
    await step(title, install)
  }
  const still = findMissing(groups)
  if (still.length > 0) throw new SetupError(`Still missing after the installation:\n${describe(still)}`)
}

/** @param {import('./packages.mjs').Group[]} groups */
export function findMissing(groups) {
  const path = (process.env.PATH ?? '').split(':').filter(Boolean)
  // What an earlier call unpacked into the cache is not missing: a second tree would take the place of the first.
  const unpacked = toolsRoot()
  const exists = file => existsSync(file) || (unpacked !== undefined && existsSync(join(unpacked, file)))
  return missingPackages(groups, { exists, path, headers: nodeDirectory() !== undefined })
}

function indexIsEmpty() {
  try {
    return !readdirSync('/var/lib/apt/lists').some(name => name.includes('_Packages'))
  } catch {
    return true
  }
}

/** @param {import('./packages.mjs').Package[]} missing */
export function describe(missing) {
  const groups = [...new Set(missing.map(({ group }) => group))]
  return groups
    .map(group => {
      const names = missing.filter(entry => entry.group === group).map(({ name }) => name)
      return `  ${names.join(' ')}   (${PURPOSE[group]})`
    })
    .join('\n')
}
