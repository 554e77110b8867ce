// The contract on the real kernel. The same cases run on the memory kernel: test/unit/testing/contract.test.ts
// @second-kernel
import { closeSync, openSync } from 'node:fs'
import { nativePort } from '../../lib/kernel/native-port.js'
import { contract } from './contract.js'
import { directWrite, readAt, writeInTurn } from '../helpers/kernel/blocks.js'
import { useScratch } from '../helpers/kernel/scratch.js'
import { run } from '../helpers/process/spawned.js'

const scratch = useScratch()
let counter = 0

/** What the kernel rightly says while it is asked for what it refuses. */
beforeEach(() => scratch.log.allow(/device-mapper: /, /I\/O error/, /reached low water mark/, /no free data space/))

const ERRORS: readonly [RegExp, string][] = [
  [/No space left on device/, 'ENOSPC'],
  [/Input\/output error/, 'EIO'],
  [/not permitted|Permission denied|Read-only/, 'EPERM'],
]

const nameOfError = (complaint: string): string =>
  complaint === '' ? '' : (ERRORS.find(([text]) => text.test(complaint))?.[1] ?? complaint)

contract('the real kernel', () => ({
  kernel: undefined,
  port: nativePort(),
  name: label => scratch.name(label),
  path: label => scratch.path(`${label}-${++counter}`),
  write: writeInTurn,
  writeDirect: (node, block) => Promise.resolve(nameOfError(directWrite(node, block))),
  read: readAt,
  discard: (node, offset, length) => {
    run('blkdiscard', ['--offset', String(offset), '--length', String(length), node])
    return Promise.resolve()
  },
  hold: node => {
    const fd = openSync(node, 'r')
    return () => closeSync(fd)
  },
}))
