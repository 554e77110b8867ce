import { checkCreateOptions, checkOpenOptions, type CreatePoolOptions } from '../../../lib/pool/lifecycle/pool-options'
import { checkThinId } from '../../../lib/pool/state/thin-ids'
import { checkVolumeSize } from '../../../lib/pool/volume/volume-options'
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

test('options that are omitted have their defaults', () => {
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
    reserve: { dataBytes: 0, metadataBytes: 0 },
    check: undefined,
    given: new Set(['name', 'data', 'metadata']),
  })
})

test('options that are passed replace the defaults', () => {
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

test.each(EDGES)('the option %s accepts its limits, and rejects one step beyond', (option, inside, outside) => {
  for (const options of inside) create(options)
  for (const options of outside) expect(refused(() => create(options))).toMatch(new RegExp(`^${option} must be`))
})

test.each(['skipBlockZeroing', 'ignoreDiscard', 'noDiscardPassdown', 'readOnly', 'errorIfNoSpace'])(
  '%s is boolean',
  flag => {
    expect(refused(() => create({ [flag]: 1 }))).toBe(`${flag} must be true or false, but is 1`)
  },
)

describe('the option data', () => {
  test('is a file or a device', () => {
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
  ])('rejects %p', (source, why) => {
    expect(refused(() => create({ data: source }))).toContain(why)
  })
})

describe('checkOpenOptions', () => {
  test('returns undefined for a name alone, which opens the running pool', () => {
    expect(checkOpenOptions({ name: 'demo' })).toBeUndefined()
    expect(checkOpenOptions({ name: 'demo', repair: false })).toBeUndefined()
  })

  test('returns the plan for data and metadata, without a block size, which is read from the metadata', () => {
    expect(checkOpenOptions({ name: 'demo', data, metadata })).toMatchObject({ dataBlockBytes: undefined, data })
  })

  test('rejects data without metadata, and metadata without data', () => {
    expect(refused(() => checkOpenOptions({ name: 'demo', data }))).toContain('metadata must be')
    expect(refused(() => checkOpenOptions({ name: 'demo', metadata }))).toContain('data must be')
  })

  test('rejects a parameter of the pool without data and metadata', () => {
    const message = refused(() => checkOpenOptions({ name: 'demo', dataBlockBytes: 65536 }))
    expect(message).toContain('dataBlockBytes requires data and metadata')
  })

  test('rejects the option format, since open never formats', () => {
    expect(refused(() => checkOpenOptions({ name: 'demo', format: 'overwrite' } as CreatePoolOptions))).toContain(
      'unknown option "format"',
    )
  })
})

test('checkCreateOptions and checkOpenOptions reject a call without options', () => {
  expect(refused(() => checkCreateOptions(undefined as never))).toContain('options must be an object')
  expect(refused(() => checkOpenOptions(undefined as never))).toContain('options must be an object')
})

test('checkThinId accepts ids of 24 bits only', () => {
  expect([0, 1, 16777215].map(checkThinId)).toEqual([0, 1, 16777215])
  for (const id of [-1, 16777216, 1.5, '7', 7n, NaN, undefined]) {
    expect(refused(() => checkThinId(id))).toContain('from 0 to 16777215')
  }
})

test('checkVolumeSize accepts one or more whole sectors only', () => {
  expect([512, 1024, 10 * TiB].map(checkVolumeSize)).toEqual([512, 1024, 10 * TiB])
  for (const size of [0, 511, 513, -512, 2 ** 53, '512', undefined]) {
    expect(refused(() => checkVolumeSize(size))).toContain('in steps of 512')
  }
})
