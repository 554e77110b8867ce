import { Rollback } from '../../../lib/base/rollback'
import { DmThinError } from '../../../lib/base/errors'
import { rejection } from '../../helpers/errors/thrown'

const refused = new DmThinError('DM_TABLE_REFUSED', 'the kernel refused the table', { errno: 22 })

/** Steps 1 to `count`, then a fault; `failing` says how the undoing of a step fails. */
function attempt(count: number, failing: Record<number, unknown> = {}, fault: unknown = refused) {
  const order: number[] = []
  const undo = new Rollback()
  const error = rejection(() =>
    undo.guard(async () => {
      for (let step = 1; step <= count; step++) {
        undo.push(`step ${step}`, `device ${step}`, async () => {
          order.push(step)
          if (step in failing) throw failing[step]
        })
      }
      throw fault
    }),
  )
  return error.then(seen => ({ order, error: seen }))
}

test('a call that succeeds is not rolled back', async () => {
  const undo = new Rollback()
  const result = await undo.guard(async () => {
    undo.push('step', 'device', () => Promise.reject(new Error('undone without need')))
    return 7
  })
  expect(result).toBe(7)
})

test('the newest step is rolled back first, and the error lists the steps in that order', async () => {
  const { order, error } = await attempt(3)
  expect(order).toEqual([3, 2, 1])
  expect(error).toMatchObject({ code: 'DM_TABLE_REFUSED', errno: 22, message: 'the kernel refused the table' })
  expect(error.rollback).toEqual(
    [3, 2, 1].map(step => ({ operation: `step ${step}`, device: `device ${step}`, errno: 0 })),
  )
})

test('a rollback step that fails is reported in addition to the first error, and earlier steps are not rolled back', async () => {
  const busy = new DmThinError('DM_BUSY', 'busy', { errno: 16 })
  const { order, error } = await attempt(3, { 2: busy })
  expect(order).toEqual([3, 2])
  expect(error.rollback.map(({ errno }) => errno)).toEqual([0, 16, 125])
  expect(error.code).toBe('DM_TABLE_REFUSED')
  expect(error.message).toBe(
    'the kernel refused the table; not undone: step 2 of device 2 (EBUSY); not undone: step 1 of device 1 (ECANCELED)',
  )
})

test('a rollback step that fails without an errno is listed with errno -1', async () => {
  const { error } = await attempt(1, { 1: new TypeError('odd') })
  expect(error.rollback).toEqual([{ operation: 'step 1', device: 'device 1', errno: -1 }])
})

test('an error before the first step is passed on unchanged', async () => {
  expect((await attempt(0)).error).toBe(refused)
})

test('a system error is wrapped in DM_KERNEL and kept as the cause', async () => {
  const fault = Object.assign(new Error('no such file'), { code: 'ENOENT' })
  const { error } = await attempt(1, {}, fault)
  expect(error).toMatchObject({ code: 'DM_KERNEL', cause: fault })
  expect(error.rollback).toHaveLength(1)
})

test.each([new TypeError('odd'), undefined])('the error %p is rethrown unchanged after the rollback', async fault => {
  const order: string[] = []
  const undo = new Rollback()
  const guarded = undo.guard(() => {
    undo.push('step', 'device', async () => order.push('undone'))
    // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- anything can be thrown
    return Promise.reject(fault)
  })
  await expect(guarded).rejects.toBe(fault)
  expect(order).toEqual(['undone'])
})

test('the rollback steps of the native call are listed first', async () => {
  const inner = { operation: 'DM_DEV_REMOVE', device: 'demo', errno: 0 }
  const { error } = await attempt(1, {}, refused.refined(refused.code, refused.message, { rollback: [inner] }))
  expect(error.rollback.map(({ operation }) => operation)).toEqual(['DM_DEV_REMOVE', 'step 1'])
})

test('only steps marked "always" are rolled back if the native call could not roll back its own steps', async () => {
  const left = { operation: 'DM_DEV_REMOVE', device: 'demo', errno: 16 }
  const undo = new Rollback()
  undo.push('unlink', 'file', () => Promise.reject(new Error('undone below what is left')))
  undo.push('DM_DEV_RESUME', 'demo', async () => {}, { always: true })
  const fault = refused.refined(refused.code, refused.message, { rollback: [left] })
  const { rollback } = await rejection(() => undo.guard(() => Promise.reject(fault)))
  expect(rollback.map(({ operation, errno }) => [operation, errno])).toEqual([
    ['DM_DEV_REMOVE', 16],
    ['DM_DEV_RESUME', 0],
    ['unlink', 125],
  ])
})

test('a step with nothing to roll back is not listed', async () => {
  const undo = new Rollback()
  undo.push('first', 'device', async () => {})
  undo.push('second', 'device', async () => false)
  const { rollback } = await rejection(() => undo.guard(() => Promise.reject(refused)))
  expect(rollback.map(({ operation }) => operation)).toEqual(['first'])
})

test('a step is rolled back only once', async () => {
  const undo = new Rollback()
  const order: string[] = []
  undo.push('step', 'device', async () => order.push('undone'))
  await rejection(() => undo.guard(() => Promise.reject(refused)))
  expect((await rejection(() => undo.guard(() => Promise.reject(refused)))).rollback).toEqual([])
  expect(order).toEqual(['undone'])
})
