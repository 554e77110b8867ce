import { readFileSync } from 'node:fs'
import path from 'node:path'
import { readSharedObject } from '../helpers/package/elf'

// What the binaries may ask for at most: what every machine has that runs Node 20 (glibc 2.28, libstdc++ of GCC 8).
const FLOOR: Record<string, string> = { GLIBC: '2.28', GLIBCXX: '3.4.25', CXXABI: '1.3.11', GCC: '8' }
const LIBRARIES = /^(libstdc\+\+\.so\.6|libgcc_s\.so\.1|lib(c|m|pthread)\.so\.(6|0)|ld-linux-.*)$/
const repository = path.join(__dirname, '../..')

/** `GLIBC_2.28` against the floor, number by number. */
function isAbove(version: string): boolean {
  const [, family = '', numbers = ''] = /^(\w+?)_([\d.]+)$/.exec(version) ?? []
  const floor = FLOOR[family]
  if (floor === undefined) return true
  const [ours, least] = [numbers, floor].map(text => text.split('.').map(Number))
  const at = ours!.findIndex((number, index) => number !== least![index])
  return at >= 0 && ours![at]! > (least![at] ?? 0)
}

test('isAbove compares versions by their numbers, and takes an unknown library as above', () => {
  expect(['GLIBC_2.28', 'GLIBC_2.2.5', 'GLIBCXX_3.4', 'GLIBCXX_3.4.9', 'CXXABI_1.3.11'].filter(isAbove)).toEqual([])
  const above = ['GLIBC_2.29', 'GLIBC_2.28.1', 'GLIBC_3', 'GLIBCXX_3.4.26', 'CXXABI_1.3.12', 'GLIBC_PRIVATE', 'ABC_1']
  expect(above.filter(isAbove)).toEqual(above)
})

describe.each(['x64', 'arm64'])('the shipped binary for %s', arch => {
  const binary = readSharedObject(readFileSync(path.join(repository, `prebuilds/linux-${arch}/dm-thin.glibc.node`)))

  test('is built for its architecture, stripped, and loadable by Node', () => {
    expect(binary.machine).toBe(arch)
    expect(binary.stripped).toBe(true)
    expect(binary.exports).toContain('napi_register_module_v1')
    expect(binary.imports.map(({ symbol }) => symbol)).toContain('napi_create_function')
  })

  test('is hardened', () => {
    const symbols = binary.imports.map(({ symbol }) => symbol)
    expect(binary).toMatchObject({ bindNow: true, relro: true })
    expect(symbols).toContain('__stack_chk_fail')
    expect(symbols.filter(symbol => /^__\w+_chk$/.test(symbol))).not.toEqual([])
  })

  test('needs no symbol newer than the oldest supported versions', () => {
    expect(binary.versions).toContain('GLIBC_2.17')
    expect(binary.imports.filter(({ version }) => version !== undefined && isAbove(version))).toEqual([])
    expect(binary.versions.filter(isAbove)).toEqual([])
  })

  test('needs only libraries that Node itself needs', () => {
    expect(binary.libraries).toContain('libstdc++.so.6')
    expect(binary.libraries.filter(name => !LIBRARIES.test(name))).toEqual([])
  })

  test('needs only N-API of Node', () => {
    const fromNode = binary.imports.filter(({ symbol, version }) => version === undefined && !/^napi_/.test(symbol))
    const weakByToolchain = /^(__gmon_start__|_ITM_\w+|__cxa_finalize|__cxa_thread_atexit\w*|__gxx_personality_v0)$/
    expect(fromNode.filter(({ symbol }) => !weakByToolchain.test(symbol))).toEqual([])
  })
})
