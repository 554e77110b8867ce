// What guests need and this machine has not installed: unpacked into the cache, never installed, for root and for anyone.
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { unpackPackages } from '../vm/apt.mjs'
import { cacheDir } from '../vm/cache.mjs'
import { describe, findMissing } from './needs.mjs'
import { hashOf, withLock } from './stamps.mjs'
import { say, SetupError, step } from './steps.mjs'

/**
 * Has what these groups name, on this machine or in an unpacked tree, which programs of the host and guests then find.
 * @param {import('./packages.mjs').Group[]} groups
 */
export async function ensureTools(groups) {
  const missing = findMissing(groups)
  if (missing.length === 0) return
  const names = missing.map(({ name }) => name).sort()
  const folder = join(cacheDir(), 'tools')
  const root = join(folder, hashOf([], names).slice(0, 16))
  if (!existsSync(root)) {
    say(`These Debian packages are not installed, and are unpacked into the cache:\n${describe(missing)}`)
    await withLock('tools', async () => {
      if (existsSync(root)) return
      await step(`${missing.length} packages (apt-get download)`, () => unpack(names, root))
    })
  }
  use(root)
}

async function unpack(names, root) {
  try {
    await unpackPackages(names, root, { dependencies: true, keep: true })
  } catch (error) {
    throw new SetupError(
      `${error.message}\nThe packages cannot be fetched: please see to the connection and to apt's sources, ` +
        'then repeat the command. Nothing was installed.',
    )
  }
}

/** @param {string} root */
function use(root) {
  process.env.DM_THIN_TOOLS = root
  const add = (name, folders) => {
    const have = (process.env[name] ?? '').split(':').filter(Boolean)
    process.env[name] = [...have, ...folders.filter(each => existsSync(each) && !have.includes(each))].join(':')
  }
  add(
    'PATH',
    ['usr/sbin', 'usr/bin'].map(path => join(root, path)),
  )
  const libraries = join(root, 'usr/lib')
  const triplets = existsSync(libraries) ? readdirSync(libraries).filter(name => name.endsWith('-linux-gnu')) : []
  add(
    'LD_LIBRARY_PATH',
    triplets.map(name => join(libraries, name)),
  )
}
