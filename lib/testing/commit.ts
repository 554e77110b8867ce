// Messages with a verified commit, with the steps of native/dm/commit.cc.
import { ERRNO } from '../base/errors.js'
import { TABLE_FLAG, type DeviceAddress } from '../kernel/port/device-port.js'
import { described, type Mapper } from './mapper.js'
import { Refusal } from './refusal.js'

/** Sends a message to a pool and checks its status. Throws a refusal of `commit` if the status does not prove the commit. */
export function committedMessage(mapper: Mapper, pool: DeviceAddress, sector: number, text: string): string {
  const answer = mapper.message(pool, sector, text)
  try {
    verifyCommit(mapper, pool, text)
  } catch (fault) {
    if (!(fault instanceof Refusal) || fault.failure.operation === 'commit') throw fault
    const undo = undoOf(text)
    if (undo === undefined) throw fault
    throw fault.with({ rollback: [undone(mapper, pool, sector, undo)] })
  }
  return answer
}

/** Commits a pool, and checks its status. */
export function commit(mapper: Mapper, pool: DeviceAddress): void {
  mapper.poolOf(mapper.lookup('DM_TABLE_STATUS', pool))?.commit()
  verifyCommit(mapper, pool, '')
}

/** Throws a refusal of `commit` if the status of the pool does not prove the commit of its changes. */
export function verifyCommit(mapper: Mapper, pool: DeviceAddress, detail: string): void {
  const errno = commitErrno(mapper.tableStatus(pool, TABLE_FLAG.noflush)[0])
  if (errno !== 0) throw new Refusal('commit', errno, { device: described(pool), detail })
}

function commitErrno(line: { readonly type: string; readonly parameters: string } | undefined): number {
  const words = line?.parameters.split(' ') ?? []
  if (line?.type !== 'thin-pool' || words.includes('needs_check')) return ERRNO.EIO
  if (words.includes('rw') || words.includes('out_of_data_space')) return 0
  return words.includes('ro') ? ERRNO.ENOSPC : ERRNO.EIO
}

function undoOf(text: string): string | undefined {
  const [command, id] = text.split(' ')
  return command === 'create_thin' || command === 'create_snap' ? `delete ${id}` : undefined
}

function undone(mapper: Mapper, pool: DeviceAddress, sector: number, text: string) {
  let errno = 0
  try {
    mapper.message(pool, sector, text)
  } catch (fault) {
    if (!(fault instanceof Refusal)) throw fault
    errno = fault.failure.errno
  }
  return { operation: text, device: described(pool), errno }
}
