// Programs that a guest needs and this machine has not installed: unpacked into the cache, and laid below the guest's root.
import { existsSync } from 'node:fs'
import { join } from 'node:path'

/** The unpacked tree, or undefined if nothing is missing. Set by test/tools/setup before a guest starts. */
export const toolsRoot = () => process.env.DM_THIN_TOOLS || undefined

/** Where a program is: on this machine, or in the unpacked tree. @param {string} program a name or an absolute path */
export function toolPath(program) {
  const root = toolsRoot()
  const folders = [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/usr/bin'].filter(Boolean)
  const names = program.startsWith('/') ? [program] : folders.map(folder => join(folder, program))
  const places = root === undefined ? names : [...names, ...names.map(path => join(root, path))]
  return places.find(path => existsSync(path)) ?? program
}

/** The environment in which unpacked programs find their libraries. */
export function toolEnvironment(env = process.env) {
  const root = toolsRoot()
  if (root === undefined) return env
  const libraries = ['usr/lib/x86_64-linux-gnu', 'usr/lib'].map(path => join(root, path))
  return { ...env, LD_LIBRARY_PATH: [...libraries, env.LD_LIBRARY_PATH].filter(Boolean).join(':') }
}
