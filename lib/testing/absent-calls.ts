// What the kernel in memory has not: each of these calls says so.
import { DmThinError } from '../base/errors.js'
import type { KernelPort } from '../kernel/port/port.js'
import { PortCalls } from './port-calls.js'

export class AbsentCalls extends PortCalls {
  blockOpen: KernelPort['blockOpen'] = () => absent('block devices')
  blockInfo: KernelPort['blockInfo'] = () => absent('block devices')
  blockErase: KernelPort['blockErase'] = () => absent('block devices')
  blockSetReadOnly: KernelPort['blockSetReadOnly'] = () => absent('block devices')
  blockFlush: KernelPort['blockFlush'] = () => absent('block devices')
  blockReread: KernelPort['blockReread'] = () => absent('block devices')
  blockRead: KernelPort['blockRead'] = () => absent('block devices')
  blockWrite: KernelPort['blockWrite'] = () => absent('block devices')
  peek: KernelPort['peek'] = () => absent('file systems')
  alignedBuffer: KernelPort['alignedBuffer'] = lengthBytes => new Uint8Array(lengthBytes)

  mountDetached: KernelPort['mountDetached'] = () => absent('detached mounts')
  remount: KernelPort['remount'] = () => absent('file systems')
  bindMount: KernelPort['bindMount'] = () => absent('file systems')
  setPropagation: KernelPort['setPropagation'] = () => absent('file systems')
  freeze: KernelPort['freeze'] = () => absent('file systems')
  thaw: KernelPort['thaw'] = () => absent('file systems')
  trim: KernelPort['trim'] = () => absent('file systems')
  growFileSystem: KernelPort['growFileSystem'] = () => absent('file systems')

  treeOpen: KernelPort['treeOpen'] = () => absent('trees of files')
  treeWrite: KernelPort['treeWrite'] = () => absent('trees of files')
  treeFinish: KernelPort['treeFinish'] = () => absent('trees of files')

  loopChangeFile: KernelPort['loopChangeFile'] = () => absent('changes of an attached loop device')
  loopSetDirectIo: KernelPort['loopSetDirectIo'] = () => absent('changes of an attached loop device')
  loopDetachAtLastClose: KernelPort['loopDetachAtLastClose'] = () => absent('changes of an attached loop device')

  treeChangesOpen: KernelPort['treeChangesOpen'] = () => absent('trees of files')
  treeChangesNext: KernelPort['treeChangesNext'] = () => absent('trees of files')
  treeRead: KernelPort['treeRead'] = () => absent('trees of files')

  // A udev that is done at once: whoever waits for it goes on.
  udevBegin: KernelPort['udevBegin'] = signal => this.call(signal, () => this.state.handle(() => {}))
  udevWait: KernelPort['udevWait'] = (_transaction, _limitMs, signal) => this.call(signal, () => {})
  udevSweep: KernelPort['udevSweep'] = () => Promise.resolve(0)
}

function absent(what: string): Promise<never> {
  const text = `the kernel in memory has no ${what}: see docs/testing.md for what it leaves out`
  return Promise.reject(new DmThinError('DM_UNSUPPORTED', text))
}
