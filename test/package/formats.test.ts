import { ask, consumer } from './package'

test('the ESM and CommonJS entries share their classes within a process', () => {
  const { esm, cjs, differing } = ask(
    consumer(),
    'formats.mjs',
    `import * as esm from 'dm-thin'
     import { createRequire } from 'node:module'
     const cjs = createRequire(import.meta.url)('dm-thin')
     const differing = Object.keys(cjs).filter(name => esm[name] !== cjs[name])
     console.log(JSON.stringify({ esm: Object.keys(esm).sort(), cjs: Object.keys(cjs).sort(), differing }))`,
  ) as Record<'esm' | 'cjs' | 'differing', string[]>
  expect(esm).toEqual(expect.arrayContaining(['DmThinError', 'LoopDevice', 'ThinPool', 'ThinVolume']))
  expect(esm).toEqual(cjs)
  expect(differing).toEqual([])
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
