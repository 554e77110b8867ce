// Makes dist/ of the modules and types that tsc writes to .cache/build: one file for each entry and few that they share, so
// that each class exists once. Packages and modules of Node stay imports.
import { readdirSync, readFileSync, rmSync } from 'node:fs'
import path from 'node:path'
import { dts } from 'rollup-plugin-dts'

const made = path.join(import.meta.dirname, '.cache/build')
const dir = path.join(import.meta.dirname, 'dist')
const entries = readdirSync(path.join(import.meta.dirname, 'lib/entry')).map(
  file => `entry/${path.basename(file, '.ts')}`,
)
const inputs = (names, extension) => Object.fromEntries(names.map(name => [name, path.join(made, name + extension)]))
const external = id => !id.startsWith('.') && !path.isAbsolute(id)

/** The shared file of each folder of lib/. The modules of other folders are shared as the entries need them. */
const SHARED = [
  ['base', ['base']],
  ['pool', ['kernel', 'target', 'metadata', 'block', 'filesystem', 'events', 'mapper', 'pool']],
  ['transfer', ['transfer']],
  ['store', ['store']],
]
const fileOf = new Map(SHARED.flatMap(([name, folders]) => folders.map(folder => [folder, name])))
const manualChunks = id => fileOf.get(path.relative(made, id).split(path.sep)[0])

/** Removes what an earlier build made, of which the names of shared files may differ. */
const intoEmptyFolder = { name: 'into-empty-folder', renderStart: () => rmSync(dir, { recursive: true, force: true }) }

/** Reads a module with its source map, so that stack traces name the files of lib/. */
const withSourceMaps = {
  name: 'with-source-maps',
  load: id => ({
    code: readFileSync(id, 'utf8').replace(/\n\/\/# sourceMappingURL=.*$/, ''),
    map: JSON.parse(readFileSync(`${id}.map`, 'utf8')),
  }),
}

/**
 * Adds the ESM entries. They export by name what the CommonJS entries export, so that both formats have the same classes:
 * `export *` of a CommonJS module adds `__esModule` and, from Node 23, `module.exports`.
 */
const esmEntries = {
  name: 'esm-entries',
  generateBundle(_, bundle) {
    for (const { name, exports } of Object.values(bundle).filter(({ name }) => entries.includes(name))) {
      const from = `'./${path.basename(name)}.js'`
      const values = `export { ${exports.join(', ')} } from ${from}\n`
      this.emitFile({ type: 'asset', fileName: `${name}.mjs`, source: values })
      this.emitFile({ type: 'asset', fileName: `${name}.d.mts`, source: `export type * from ${from}\n${values}` })
    }
  },
}

export default [
  {
    input: inputs([...entries, 'cli/main'], '.js'),
    external,
    plugins: [withSourceMaps, intoEmptyFolder, esmEntries],
    output: {
      dir,
      format: 'cjs',
      interop: 'default',
      // A getter for each name would cost time at each start.
      externalLiveBindings: false,
      // An entry needs the modules of Node that its shared files load, and names none of them itself.
      hoistTransitiveImports: false,
      entryFileNames: '[name].js',
      chunkFileNames: 'shared/[name].js',
      manualChunks,
      sourcemap: true,
    },
  },
  {
    input: inputs(entries, '.d.ts'),
    external,
    plugins: [dts()],
    output: {
      dir,
      format: 'es',
      entryFileNames: '[name].d.ts',
      chunkFileNames: ({ name }) => `shared/${name.replace(/\.d$/, '')}.d.ts`,
      manualChunks,
    },
  },
]
