// The package as a user gets it: packed from a stage of its own, so that the work tree's dist/ is not touched, and
// installed into an empty folder, offline.
import { execFileSync, spawnSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'

export const repository = path.join(__dirname, '../..')
/** How the folder made before the first test is told to the tests' processes. */
const FOLDER = 'DM_THIN_TEST_PACKAGE'

const folder = (): string => {
  const found = process.env[FOLDER]
  if (found === undefined) throw new Error('the package tests run as a project of jest, which packs first')
  return found
}
export const tarball = (): string => path.join(folder(), 'dm-thin.tgz')
/** A folder with the package installed. Read it; to change it, take a `copyOfConsumer`. */
export const consumer = (): string => path.join(folder(), 'consumer')

/** The entries of the package: `dm-thin`, `dm-thin/kernel` and so on. */
export function entryNames(): string[] {
  const { exports } = JSON.parse(readFileSync(path.join(repository, 'package.json'), 'utf8')) as { exports: object }
  return Object.keys(exports)
    .filter(name => !name.endsWith('.json'))
    .map(name => path.posix.join('dm-thin', name))
}

export function copyOfConsumer(name: string): string {
  const copy = path.join(folder(), name)
  cpSync(consumer(), copy, { recursive: true, verbatimSymlinks: true })
  return copy
}

/** The environment of a user: nothing of npm's or of this run's. */
export function plainEnvironment(extra: Record<string, string> = {}): NodeJS.ProcessEnv {
  const own = Object.entries(process.env).filter(([name]) => !/^(npm_|DM_THIN_|NODE_|JEST_|PREBUILD)/.test(name))
  return { ...Object.fromEntries(own), ...extra }
}

/** A folder for PATH that offers node, npm and a shell, and no compiler, make or python3. */
export function pathWithoutCompiler(): string {
  const bin = path.join(folder(), 'bin')
  mkdirSync(bin, { recursive: true })
  for (const [name, target] of [
    ['node', process.execPath],
    ['npm', npmPath()],
    ['sh', '/bin/sh'],
  ] as const) {
    if (!existsSync(path.join(bin, name))) symlinkSync(realpathSync(target), path.join(bin, name))
  }
  return bin
}

function npmPath(): string {
  const folders = (process.env['PATH'] ?? '').split(path.delimiter)
  const found = folders.map(where => path.join(where, 'npm')).find(existsSync)
  if (found === undefined) throw new Error('npm is not on PATH')
  return found
}

export function run(command: string, args: readonly string[], cwd: string, env = plainEnvironment()) {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd, env, encoding: 'utf8' })
  return { status, output: stdout + stderr, stdout }
}

/** Runs a script of the consumer and gives what it printed, as JSON. */
export function ask(cwd: string, file: string, script: string, env = plainEnvironment()): unknown {
  writeFileSync(path.join(cwd, file), script)
  return JSON.parse(execFileSync(process.execPath, [file], { cwd, env, encoding: 'utf8' }))
}

const npm = (args: readonly string[], cwd: string) =>
  execFileSync(npmPath(), args, { cwd, env: plainEnvironment(), stdio: ['ignore', 'pipe', 'pipe'] })

const PAGES = ['LICENSE', 'README.md', 'CHANGELOG.md', 'SECURITY.md']
const SETTINGS = ['package.json', 'binding.gyp', 'tsconfig.json', 'rollup.config.mjs', '.npmrc', '.ci']
const IN_STAGE = [...PAGES, ...SETTINGS, 'lib', 'native', 'prebuilds', 'test/unit']

/** Packs the package in `where` into `made`, and gives the file's name. */
const pack = (made: string, where: string): string =>
  npm(['pack', '--ignore-scripts', '--pack-destination', made], where).toString().trim()

export function makePackage(): void {
  const made = mkdtempSync(path.join(tmpdir(), 'dm-thin-package-'))
  process.env[FOLDER] = made
  try {
    packAndInstall(made)
  } catch (fault) {
    removePackage() // jest tears down only what was set up
    throw fault
  }
}

function packAndInstall(made: string): void {
  const stage = path.join(made, 'stage')
  mkdirSync(stage)
  const prebuild = path.join(repository, 'test/tools/prebuild.mjs')
  execFileSync(process.execPath, [prebuild, '--if-stale'], { stdio: ['ignore', 'inherit', 'inherit'] })
  // More than belongs into the tarball: package.json has to choose.
  for (const name of IN_STAGE.filter(name => existsSync(path.join(repository, name)))) {
    cpSync(path.join(repository, name), path.join(stage, name), { recursive: true })
  }
  symlinkSync(path.join(repository, 'node_modules'), path.join(stage, 'node_modules'))
  npm(['run', 'build:ts'], stage)
  renameSync(path.join(made, pack(made, stage)), tarball())
  install(made)
}

function install(made: string): void {
  const where = path.join(made, 'consumer')
  mkdirSync(where)
  const dependencies: Record<string, string> = { 'dm-thin': 'file:../dm-thin.tgz' }
  for (const name of ['commander', 'node-addon-api', 'node-gyp-build']) {
    dependencies[name] = `file:../${pack(made, path.join(repository, 'node_modules', name))}`
  }
  writeFileSync(path.join(where, 'package.json'), JSON.stringify({ name: 'consumer', private: true, dependencies }))
  npm(['install', '--offline', '--no-audit', '--no-fund'], where)
}

export function removePackage(): void {
  rmSync(folder(), { recursive: true, force: true })
}
