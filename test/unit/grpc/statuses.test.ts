// The statuses of errors: those of the page for operators, and the translation.
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { DmThinError } from '../../../lib/base/errors.js'
import { RequestError, SNAPSHOTTER, STATUS, statusOf, type Status } from '../../../lib/grpc/statuses.js'

const page = readFileSync(path.join(__dirname, '../../../docs/containerd.md'), 'utf8')

test('the table of docs/containerd.md has the status of each code of the snapshotter', () => {
  const section = /^## Errors\n([\s\S]*?)^## /m.exec(page)![1]!
  const rows = [...section.matchAll(/^\| ([^|]*`[A-Z_]+`[^|]*)\| ([A-Z_]+) /gm)]
  const stated = rows.flatMap(([, codes, status]) =>
    [...codes!.matchAll(/`([A-Z_]+)`/g)].map(([, code]) => [code!, STATUS[status as keyof typeof STATUS]] as const),
  )
  const byCode = (all: readonly (readonly [string, Status])[]) => [...all].sort(([a], [b]) => (a < b ? -1 : 1))
  expect(byCode(stated)).toEqual(byCode(Object.entries(SNAPSHOTTER)))
})

test('only errors that no client caused are reported', () => {
  const reported: unknown[] = []
  const status = (error: unknown) => statusOf(SNAPSHOTTER, error, 'prepare', (_, each) => reported.push(each))
  expect(status(new RequestError(STATUS.OUT_OF_RANGE, 'too far'))).toEqual({ code: 11, details: 'too far' })
  expect(status(new DmThinError('DM_FILTER', 'no filter'))).toEqual({ code: 3, details: 'no filter' })
  const [unknown, foreign] = [new DmThinError('DM_KERNEL', 'failed'), new TypeError('a bug')]
  expect(status(unknown)).toEqual({ code: 2, details: 'failed' })
  expect(status(foreign)).toEqual({ code: 2, details: 'a bug' })
  expect(reported).toEqual([unknown, foreign])
})
