import {
  abortError,
  DmThinError,
  errnoName,
  errnoText,
  throwIfAborted,
  type RollbackStep,
} from '../../../lib/base/errors'
import { thrown } from '../../helpers/errors/thrown'

const undone: RollbackStep = { operation: 'DM_DEV_REMOVE', device: 'demo', errno: 0 }
const stuck: RollbackStep = { operation: 'unlink', device: '/data.img', errno: 30 }
const lost: RollbackStep = { operation: 'LOOP_CLR_FD', device: '/dev/loop3', errno: -1 }

test('DmThinError has its code and message, and no fact that was not passed', () => {
  const error = new DmThinError('DM_BUSY', 'device is busy')
  expect(error).toBeInstanceOf(Error)
  expect(error).toMatchObject({ name: 'DmThinError', code: 'DM_BUSY', message: 'device is busy' })
  expect(error).toMatchObject({ errno: undefined, operation: undefined, holders: [], rollback: [] })
  expect('cause' in error).toBe(false)
  expect(error.stack).toContain('errors.test')
})

test('DmThinError keeps every fact that was passed', () => {
  const facts = {
    errno: 16,
    operation: 'DM_DEV_REMOVE',
    device: 'demo',
    detail: '0 8 thin 253:0 1',
    kernelReason: 'thin-pool: Invalid block size',
    tries: 24,
    holders: [{ kind: 'mount' as const, path: '/mnt', pid: 7 }],
    block: 12,
    rollback: [undone],
    cause: new Error('below'),
  }
  expect(new DmThinError('DM_BUSY', 'busy', facts)).toMatchObject(facts)
})

test('the message of DmThinError lists the steps that could not be rolled back, and no others', () => {
  const { message } = new DmThinError('DM_TABLE_REFUSED', 'refused', { rollback: [undone, stuck, lost] })
  expect(message).toBe(
    'refused; not undone: unlink of /data.img (EROFS); not undone: LOOP_CLR_FD of /dev/loop3 (error)',
  )
  expect(new DmThinError('DM_TABLE_REFUSED', 'refused', { rollback: [undone] }).message).toBe('refused')
})

describe('DmThinError.refined', () => {
  const cause = new Error('below')
  const first = new DmThinError('DM_KERNEL', 'EINVAL', {
    errno: 22,
    operation: 'DM_TABLE_LOAD',
    rollback: [stuck],
    cause,
  })

  test('keeps the facts under a more specific code and message', () => {
    const better = first.refined('DM_POOL_SUSPENDED', 'the pool is suspended')
    expect(better).toMatchObject({ code: 'DM_POOL_SUSPENDED', errno: 22, operation: 'DM_TABLE_LOAD', cause })
    expect(better.rollback).toEqual([stuck])
    expect(first).toMatchObject({ code: 'DM_KERNEL', errno: 22 })
  })

  test('replaces an earlier fact by a new one', () => {
    expect(first.refined('DM_BUSY', 'busy', { device: 'demo', errno: 16 })).toMatchObject({ device: 'demo', errno: 16 })
  })

  test('lists a step that could not be rolled back only once, even if it is called repeatedly', () => {
    const tail = '; not undone: unlink of /data.img (EROFS)'
    const again = first.refined('DM_BUSY', first.message).refined('DM_BUSY', `again: ${first.message}`)
    expect(again.message).toBe(`again: EINVAL${tail}`)
    expect(first.refined('DM_BUSY', 'new words').message).toBe(`new words${tail}`)
  })
})

describe('abort errors', () => {
  test('abortError has the name and code that Node uses, and the reason as cause', () => {
    const reason = new Error('enough')
    const error = abortError(AbortSignal.abort(reason), { operation: 'DM_DEV_REMOVE', device: 'demo', tries: 3 })
    expect(error).toMatchObject({ name: 'AbortError', code: 'ABORT_ERR', cause: reason, device: 'demo' })
    expect(error.message).toBe('DM_DEV_REMOVE of "demo": the call was aborted after 3 tries')
    expect(abortError(undefined)).toMatchObject({ name: 'AbortError', message: 'the call was aborted' })
  })

  test('throwIfAborted throws if the signal was aborted before the call', () => {
    expect(thrown(() => throwIfAborted(AbortSignal.abort('why')))).toMatchObject({ code: 'ABORT_ERR', cause: 'why' })
    throwIfAborted(undefined)
    throwIfAborted(new AbortController().signal)
  })
})

test.each([
  [1, 'EPERM', 'operation not permitted'],
  [16, 'EBUSY', 'resource busy or locked'],
  [15, 'ENOTBLK', 'block device required'],
  [61, 'ENODATA', 'no data available'],
  [95, 'EOPNOTSUPP', 'operation not supported'],
  [117, 'EUCLEAN', 'structure needs cleaning'],
  [129, 'EKEYREJECTED', 'key was rejected by service'],
  [4000, 'errno 4000', 'error 4000'],
])('errno %i has the name %s and the text "%s"', (errno, name, text) => {
  expect([errnoName(errno), errnoText(errno)]).toEqual([name, text])
})

test('errnoName returns "error" for a failure without an errno', () => {
  expect(errnoName(-1)).toBe('error')
})
