import { ask, consumer, entryNames } from './package'

const ENTRIES = entryNames()

test.each(ENTRIES)('the ESM and CommonJS entries of %s share their classes within a process', name => {
  const { esm, cjs, differing } = ask(
    consumer(),
    'formats.mjs',
    `import * as esm from '${name}'
     import { createRequire } from 'node:module'
     const cjs = createRequire(import.meta.url)('${name}')
     const differing = Object.keys(cjs).filter(name => esm[name] !== cjs[name])
     console.log(JSON.stringify({ esm: Object.keys(esm).sort(), cjs: Object.keys(cjs).sort(), differing }))`,
  ) as Record<'esm' | 'cjs' | 'differing', string[]>
  expect(esm.length).toBeGreaterThan(0)
  expect(esm).toEqual(cjs)
  expect(differing).toEqual([])
})

test('all entries share their classes, and the names of classes are those of the sources', () => {
  const { shared, names } = ask(
    consumer(),
    'shared.cjs',
    `const all = ${JSON.stringify(ENTRIES)}.map(name => require(name))
     const { DmThinError } = require('dm-thin')
     const { DeviceMapper } = require('dm-thin/kernel')
     const { LayerStore } = require('dm-thin/store')
     const { ThinMetadata } = require('dm-thin/metadata')
     const { memoryKernel } = require('dm-thin/testing')
     const failing = [
       () => DeviceMapper.open({ kernel: 1 }),
       () => LayerStore.open({ directory: '/', kernel: 1 }),
       () => ThinMetadata.open(1),
       async () => memoryKernel({ dataBlocks: -1 }),
     ]
     const names = all.flatMap(each => Object.entries(each))
       .filter(([, value]) => /^class\\b/.test(String(value)))
       .filter(([name, { name: own }]) => name !== own).map(([name]) => name)
     Promise.all(failing.map(call => call().catch(fault => fault instanceof DmThinError)))
       .then(shared => console.log(JSON.stringify({ shared, names })))`,
  ) as Record<'shared' | 'names', unknown[]>
  expect(shared).toEqual([true, true, true, true])
  expect(names).toEqual([])
})

test('an error of the CommonJS entry is an instance of the class of the ESM entry', () => {
  const seen = ask(
    consumer(),
    'errors.mjs',
    `import { DmThinError } from 'dm-thin'
     import { createRequire } from 'node:module'
     const { ThinPool } = createRequire(import.meta.url)('dm-thin')
     const fault = await ThinPool.create({ name: 'a/b' }).catch(fault => fault)
     console.log(JSON.stringify([fault instanceof DmThinError, fault.code]))`,
  )
  expect(seen).toEqual([true, 'DM_INVALID_ARGUMENT'])
})

test('a CommonJS program loads the package', () => {
  const seen = ask(
    consumer(),
    'caller.cjs',
    `const { KiB, MiB, GiB, TiB, ThinPool } = require('dm-thin')
     console.log(JSON.stringify([KiB, MiB, GiB, TiB, typeof ThinPool.open, require('dm-thin/package.json').name]))`,
  )
  expect(seen).toEqual([2 ** 10, 2 ** 20, 2 ** 30, 2 ** 40, 'function', 'dm-thin'])
})

test('internal files cannot be imported', () => {
  const code = ask(
    consumer(),
    'inside.cjs',
    `try { require('dm-thin/dist/base/errors.js') } catch (fault) { console.log(JSON.stringify(fault.code)) }`,
  )
  expect(code).toBe('ERR_PACKAGE_PATH_NOT_EXPORTED')
})

test('loading the package does not load the addon', () => {
  const loaded = ask(
    consumer(),
    'lazy.cjs',
    `require('dm-thin')
     console.log(JSON.stringify(Object.keys(require.cache).filter(name => name.endsWith('.node'))))`,
  )
  expect(loaded).toEqual([])
})
