import { checkCreateOptions, checkOpenOptions, type CreatePoolOptions } from '../../../lib/pool/lifecycle/options'
import { checkThinId, checkVolumeSize } from '../../../lib/pool/volume/volume-options'
import { GiB, KiB, MAX_METADATA_BYTES, MiB, TiB } from '../../../lib/base/units'
import { thrown } from '../../helpers/errors/thrown'

const data = { file: 'data.img', sizeBytes: 10 * GiB }
const metadata = { file: 'metadata.img', sizeBytes: 1 * GiB }
const create = (options: object = {}) => checkCreateOptions({ name: 'demo', data, metadata, ...options })
const refused = (act: () => unknown) => {
  const error = thrown(act)
  expect(error.code).toBe('DM_INVALID_ARGUMENT')
  return error.message
}

test('omitted options have their defaults', () => {
  expect(create()).toEqual({
    name: 'demo',
    data,
    metadata,
    dataBlockBytes: 64 * KiB,
    lowWaterMarkBlocks: 0,
    skipBlockZeroing: false,
    ignoreDiscard: false,
    noDiscardPassdown: false,
    readOnly: false,
    errorIfNoSpace: false,
    mapperLinks: false,
    durability: 'committed',
    record: undefined,
    check: undefined,
    given: new Set(['name', 'data', 'metadata']),
  })
})

test('given options replace the defaults', () => {
  const given = {
    dataBlockBytes: 1 * MiB,
    lowWaterMarkBlocks: 100,
    skipBlockZeroing: true,
    ignoreDiscard: true,
    noDiscardPassdown: true,
    readOnly: true,
    errorIfNoSpace: true,
    mapperLinks: true,
    durability: 'lazy' as const,
  }
  expect(create({ ...given, format: 'overwrite', signal: AbortSignal.timeout(1e6) })).toMatchObject(given)
})

const EDGES: [option: string, inside: object[], outside: object[]][] = [
  [
    'dataBlockBytes',
    [{ dataBlockBytes: 64 * KiB }, { dataBlockBytes: 192 * KiB }, { dataBlockBytes: 1 * GiB }],
    [{ dataBlockBytes: 64 * KiB - 512 }, { dataBlockBytes: 96 * KiB }, { dataBlockBytes: 1 * GiB + 64 * KiB }],
  ],
  ['lowWaterMarkBlocks', [{ lowWaterMarkBlocks: 0 }], [{ lowWaterMarkBlocks: -1 }, { lowWaterMarkBlocks: 0.5 }]],
  [
    'data.sizeBytes',
    [{ data: { file: 'd', sizeBytes: 512 } }, { data: { file: 'd', sizeBytes: 100 * TiB } }],
    [{ data: { file: 'd', sizeBytes: 0 } }, { data: { file: 'd', sizeBytes: 513 } }],
  ],
  [
    'metadata.sizeBytes',
    [{ metadata: { file: 'm', sizeBytes: 2 * MiB } }, { metadata: { file: 'm', sizeBytes: MAX_METADATA_BYTES } }],
    [
      { metadata: { file: 'm', sizeBytes: 2 * MiB - 512 } },
      { metadata: { file: 'm', sizeBytes: MAX_METADATA_BYTES + 512 } },
    ],
  ],
  ['format', [{ format: 'blank' }, { format: 'overwrite' }], [{ format: 'yes' }, { format: true }, { format: null }]],
]

test.each(EDGES)('%s: each limit is inside, one beyond is refused by name', (option, inside, outside) => {
  for (const options of inside) create(options)
  for (const options of outside) expect(refused(() => create(options))).toMatch(new RegExp(`^${option} must be`))
})

test.each(['skipBlockZeroing', 'ignoreDiscard', 'noDiscardPassdown', 'readOnly', 'errorIfNoSpace'])(
  '%s is a flag',
  flag => {
    expect(refused(() => create({ [flag]: 1 }))).toBe(`${flag} must be true or false, but is 1`)
  },
)

describe('sources', () => {
  test('are a file or a device', () => {
    expect(create({ data: { device: '/dev/sdb' } }).data).toEqual({ device: '/dev/sdb' })
    expect(create({ data: { file: 'd' } }).data).toEqual({ file: 'd' })
  })

  test.each([
    ['data.img', 'data must be { file, sizeBytes } or { device }, but is "data.img"'],
    [undefined, 'data must be { file, sizeBytes } or { device }, but is undefined'],
    [{ path: 'x' }, 'data: unknown option "path"; known are file, sizeBytes'],
    [{ device: '/dev/sdb', sizeBytes: 512 }, 'data: unknown option "sizeBytes"; known are device'],
    [{ device: '' }, 'data.device must be a path'],
    [{ sizeBytes: 512 }, 'data.file must be a path, but is undefined'],
  ])('%p is none', (source, why) => {
    expect(refused(() => create({ data: source }))).toContain(why)
  })
})

describe('open', () => {
  test('a bare name adopts what runs', () => {
    expect(checkOpenOptions({ name: 'demo' })).toBeUndefined()
    expect(checkOpenOptions({ name: 'demo', repair: false })).toBeUndefined()
  })

  test('with data and metadata there is a plan, whose block size is that of the metadata', () => {
    expect(checkOpenOptions({ name: 'demo', data, metadata })).toMatchObject({ dataBlockBytes: undefined, data })
  })

  test('data without metadata, or metadata without data, is refused', () => {
    expect(refused(() => checkOpenOptions({ name: 'demo', data }))).toContain('metadata must be')
    expect(refused(() => checkOpenOptions({ name: 'demo', metadata }))).toContain('data must be')
  })

  test('a parameter that would be compared with nothing is refused', () => {
    const message = refused(() => checkOpenOptions({ name: 'demo', dataBlockBytes: 65536 }))
    expect(message).toContain('dataBlockBytes requires data and metadata')
  })

  test('open never formats the metadata', () => {
    expect(refused(() => checkOpenOptions({ name: 'demo', format: 'overwrite' } as CreatePoolOptions))).toContain(
      'unknown option "format"',
    )
  })
})

test('no options at all are refused as such', () => {
  expect(refused(() => checkCreateOptions(undefined as never))).toContain('options must be an object')
  expect(refused(() => checkOpenOptions(undefined as never))).toContain('options must be an object')
})

test('thin ids have 24 bits', () => {
  expect([0, 1, 16777215].map(checkThinId)).toEqual([0, 1, 16777215])
  for (const id of [-1, 16777216, 1.5, '7', 7n, NaN, undefined]) {
    expect(refused(() => checkThinId(id))).toContain('from 0 to 16777215')
  }
})

test('volumes are whole sectors, one at least', () => {
  expect([512, 1024, 10 * TiB].map(checkVolumeSize)).toEqual([512, 1024, 10 * TiB])
  for (const size of [0, 511, 513, -512, 2 ** 53, '512', undefined]) {
    expect(refused(() => checkVolumeSize(size))).toContain('in steps of 512')
  }
})
