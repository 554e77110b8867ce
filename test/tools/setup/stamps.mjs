// A step is done again only when what it is made from has changed: a hash of its inputs, kept beside its result.
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { repository, say } from './steps.mjs'

const folder = join(repository, '.cache/stamps')

/**
 * @param {string[]} paths files and folders, relative to the repository; missing ones count as missing
 * @param {string[]} [extra] other things that the result depends on
 */
export function hashOf(paths, extra = []) {
  const hash = createHash('sha256')
  for (const word of extra) hash.update(`${word}\0`)
  const visit = path => {
    const full = join(repository, path)
    const stat = statSync(full, { throwIfNoEntry: false })
    if (stat?.isDirectory()) for (const name of readdirSync(full).sort()) visit(join(path, name))
    else hash.update(`${path}\0`).update(stat ? readFileSync(full) : 'missing')
  }
  for (const path of paths) visit(path)
  return hash.digest('hex')
}

/** @param {string} name @param {string} hash @param {string[]} results files that must exist */
export function isFresh(name, hash, results) {
  if (!results.every(path => existsSync(join(repository, path)))) return false
  try {
    return readFileSync(join(folder, name), 'utf8') === hash
  } catch {
    return false
  }
}

/** @param {string} name @param {string} hash */
export function setStamp(name, hash) {
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, name), hash)
}

/**
 * Two commands in one work tree take turns at what has one name.
 * @template T @param {string} name @param {() => Promise<T>} work @returns {Promise<T>}
 */
export async function withLock(name, work) {
  const lock = join(folder, `${name}.lock`)
  mkdirSync(folder, { recursive: true })
  for (let said = false; !take(lock); said = true) {
    if (!said) say('- another command is setting up this work tree, waiting for it')
    await sleep(500)
  }
  const release = () => rmSync(lock, { force: true })
  process.on('exit', release)
  try {
    return await work()
  } finally {
    release()
    process.off('exit', release)
  }
}

/** The lock holds its owner's process id; one that no longer runs has lost it. */
function take(lock) {
  try {
    writeFileSync(lock, String(process.pid), { flag: 'wx' })
    return true
  } catch (error) {
    if (error.code !== 'EEXIST') throw error
  }
  try {
    const owner = readFileSync(lock, 'utf8')
    if (/^\d+$/.test(owner) && !existsSync(`/proc/${owner}`)) rmSync(lock, { force: true })
  } catch {
    // released in between
  }
  return false
}
