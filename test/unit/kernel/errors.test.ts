// From the kernel's refusal to a code: every operation and errno that is told apart.
import { ERRNO, type ErrorCode } from '../../../lib/base/errors'
import { errorFromFailure } from '../../../lib/kernel/errors/translate'
import type { NativeFailure } from '../../../lib/kernel/errors/native-failure'

const failure = (facts: Partial<NativeFailure>): NativeFailure => ({
  operation: 'DM_DEV_STATUS',
  errno: ERRNO.EINVAL,
  device: 'demo',
  detail: '',
  kernelReason: '',
  cancelled: false,
  tries: 1,
  rollback: [],
  ...facts,
})

const E = ERRNO
const TABLE: [operation: NativeFailure['operation'], errno: number, code: ErrorCode, detail?: string][] = [
  ['open control', E.ENOENT, 'DM_UNAVAILABLE'],
  ['open control', E.ENODEV, 'DM_UNAVAILABLE'],
  ['open control', E.EACCES, 'DM_PERMISSION'],
  ['open loop-control', E.ENOENT, 'DM_UNAVAILABLE'],
  ['open loop-control', E.EPERM, 'DM_PERMISSION'],
  ['DM_DEV_CREATE', E.EBUSY, 'DM_NAME_TAKEN'],
  ['DM_DEV_CREATE', E.ENXIO, 'DM_NAME_TAKEN'],
  ['DM_DEV_CREATE', E.EINVAL, 'DM_KERNEL'],
  ['DM_DEV_CREATE', E.EPERM, 'DM_PERMISSION'],
  ['DM_DEV_REMOVE', E.EBUSY, 'DM_BUSY'],
  ['DM_DEV_REMOVE', E.ENXIO, 'DM_NOT_FOUND'],
  ['DM_DEV_STATUS', E.ENXIO, 'DM_NOT_FOUND'],
  ['DM_DEV_SUSPEND', E.ENODEV, 'DM_NOT_FOUND'],
  ['DM_TABLE_STATUS', E.ENXIO, 'DM_NOT_FOUND'],
  ['DM_TABLE_LOAD', E.EINVAL, 'DM_TABLE_REFUSED'],
  ['DM_TABLE_LOAD', E.EBUSY, 'DM_TABLE_REFUSED'],
  ['DM_TABLE_LOAD', E.ENODATA, 'DM_VOLUME_NOT_FOUND'],
  ['DM_DEV_RESUME', E.ENOSPC, 'DM_TABLE_REFUSED'],
  ['DM_DEV_RESUME', E.ENODATA, 'DM_VOLUME_NOT_FOUND'],
  ['DM_LIST_DEVICES', E.ENOMEM, 'DM_KERNEL'],
  ['DM_TARGET_MSG', E.EEXIST, 'DM_VOLUME_EXISTS', 'create_thin 7'],
  ['DM_TARGET_MSG', E.EEXIST, 'DM_VOLUME_EXISTS', 'create_snap 8 7'],
  ['DM_TARGET_MSG', E.ENODATA, 'DM_VOLUME_NOT_FOUND', 'delete 7'],
  ['DM_TARGET_MSG', E.ENODATA, 'DM_VOLUME_NOT_FOUND', 'create_snap 8 7'],
  ['DM_TARGET_MSG', E.ENOSPC, 'DM_POOL_FULL', 'create_thin 7'],
  ['DM_TARGET_MSG', E.EOPNOTSUPP, 'DM_POOL_READ_ONLY', 'create_thin 7'],
  ['DM_TARGET_MSG', E.EBUSY, 'DM_VOLUME_ACTIVE', 'delete 7'],
  ['DM_TARGET_MSG', E.EBUSY, 'DM_METADATA_SNAPSHOT_HELD', 'reserve_metadata_snap'],
  ['DM_TARGET_MSG', E.EINVAL, 'DM_METADATA_SNAPSHOT_NOT_HELD', 'release_metadata_snap'],
  ['DM_TARGET_MSG', E.EINVAL, 'DM_KERNEL', 'release_metadata_snap now'],
  ['DM_TARGET_MSG', E.ENXIO, 'DM_NOT_FOUND', 'delete 7'],
  ['DM_TARGET_MSG', E.EINVAL, 'DM_KERNEL', 'set_transaction_id 1 2'],
  ['double activation', E.EBUSY, 'DM_ALREADY_ACTIVE', 'other'],
  ['attach', E.EEXIST, 'DM_FILE_ATTACHED', '/dev/loop3'],
  ['LOOP_CLR_FD', E.EBUSY, 'DM_BUSY'],
  ['LOOP_CLR_FD', E.ENXIO, 'DM_KERNEL'],
  ['LOOP_CONFIGURE', E.EINVAL, 'DM_KERNEL'],
  ['create file', E.EFBIG, 'DM_FILE_SIZE', '1024'],
  ['create file', E.ERANGE, 'DM_FILE_SIZE', '1024'],
  ['create file', E.ENOENT, 'DM_FILE_MISSING'],
  ['create file', E.ENOSPC, 'DM_KERNEL'],
  ['ftruncate', E.EOPNOTSUPP, 'DM_FILE_NO_HOLES'],
  ['ftruncate', E.ERANGE, 'DM_FILE_SIZE', '1024'],
  ['ftruncate', E.EFBIG, 'DM_KERNEL'],
  ['open', E.ENOENT, 'DM_FILE_MISSING'],
  ['open', E.EBUSY, 'DM_BUSY'],
  ['open', E.EIO, 'DM_KERNEL'],
  ['mount', E.EBUSY, 'DM_BUSY', '/mnt'],
  ['mount', E.ENODEV, 'DM_KERNEL'],
  ['umount2', E.EINVAL, 'DM_KERNEL'],
  ['umount2', E.EPERM, 'DM_PERMISSION'],
]

test.each(TABLE)('a failure of %s with errno %i has the code %s', (operation, errno, code, detail = '') => {
  const error = errorFromFailure(failure({ operation, errno, detail }))
  expect(error).toMatchObject({ code, errno, operation, device: 'demo' })
  expect(error.detail).toBe(detail || undefined)
})

describe('the message', () => {
  const message = (facts: Partial<NativeFailure>) => errorFromFailure(failure(facts)).message

  test('contains the reason that the kernel logged for a refused table, and the table', () => {
    const text = message({
      operation: 'DM_TABLE_LOAD',
      detail: '0 16 thin-pool 7:1 7:0 1 0',
      kernelReason: 'thin-pool: Invalid block size',
    })
    expect(text).toContain('thin-pool: Invalid block size')
    expect(text).toContain('0 16 thin-pool 7:1 7:0 1 0')
    expect(text).toContain('EINVAL')
  })

  test('contains the errno once, even if the kernel’s log ends with it too', () => {
    const refused = { operation: 'DM_TABLE_LOAD', errno: E.ENOTBLK, detail: 'thin-pool 7:1 7:0 128 0' } as const
    const kernelReason = 'thin-pool: Error creating metadata object (-ENOTBLK); thin-pool: gave up (-15)'
    const error = errorFromFailure(failure({ ...refused, kernelReason }))
    expect(error.kernelReason).toBe('thin-pool: Error creating metadata object; thin-pool: gave up')
    expect(error.message.match(/ENOTBLK|-15/g)).toEqual(['ENOTBLK'])
    // What stands in the middle of a reason is the target's own text.
    const own = 'thin: Creation of 5 (-EEXIST) failed'
    expect(errorFromFailure(failure({ ...refused, kernelReason: own })).kernelReason).toBe(own)
  })

  test('states the number of attempts to remove a busy device', () => {
    const busy = { operation: 'DM_DEV_REMOVE', errno: E.EBUSY } as const
    expect(message({ ...busy, tries: 1 })).toBe('remove "demo": device is busy after 1 try')
    expect(message({ ...busy, tries: 24 })).toBe('remove "demo": device is busy after 24 tries')
  })

  test('states what to do if the kernel lacks a feature', () => {
    expect(message({ operation: 'open control', errno: E.ENOENT, device: '' })).toContain('modprobe dm-mod')
    expect(message({ operation: 'open loop-control', errno: E.ENOENT })).toContain('modprobe loop')
    expect(message({ errno: E.EPERM })).toContain('root')
  })

  test('names the errno if no other reason is known', () => {
    expect(message({ operation: 'statx', errno: E.EIO, device: '/x' })).toBe('statx "/x": EIO, i/o error')
    expect(message({ operation: 'DM_LIST_VERSIONS', errno: E.ENOMEM, device: '' })).toBe(
      'list versions: ENOMEM, not enough memory',
    )
  })
})

test('facts that the native call left empty are undefined', () => {
  const { device, detail, kernelReason } = errorFromFailure(failure({ device: '' }))
  expect([device, detail, kernelReason]).toEqual([undefined, undefined, undefined])
})

test('a cancelled call results in an AbortError with any errno, and lists the rollback steps', () => {
  const rollback = [{ operation: 'DM_DEV_REMOVE', device: 'demo', errno: 0 }]
  const signal = AbortSignal.abort('why')
  const error = errorFromFailure(failure({ cancelled: true, errno: E.EINTR, rollback }), signal)
  expect(error).toMatchObject({ code: 'ABORT_ERR', name: 'AbortError', errno: E.EINTR, cause: 'why', rollback })
})
