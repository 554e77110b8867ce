// The part of the memory kernel's port for files, loop devices, reads and mounts.
import { ERRNO } from '../base/errors.js'
import type { FileIdentity } from '../kernel/port/file-port.js'
import type { KernelPort } from '../kernel/port/kernel-port.js'
import type { Handle } from '../kernel/port/handle.js'
import { encodeDevice } from '../base/device-number.js'
import { processOpener, type Opener } from './block-device.js'
import { PortCalls } from './port-calls.js'
import { Refusal } from './refusal.js'

/** The calls for files, loop devices, reads and mounts. */
export class StoragePort extends PortCalls {
  loopAttach: KernelPort['loopAttach'] = (request, signal) =>
    this.call(signal, () => {
      this.step('LOOP_CONFIGURE', request.file)
      const loop = this.state.storage.attach(request)
      return { ...loop.status, held: this.state.handle(loop.open(processOpener())) }
    })

  loopList: KernelPort['loopList'] = signal =>
    this.call(signal, () => this.state.storage.loops.map(loop => loop.status))

  loopStatus: KernelPort['loopStatus'] = (number, signal) =>
    this.call(signal, () => this.state.storage.attached('LOOP_GET_STATUS64', number).status)

  loopSetCapacity: KernelPort['loopSetCapacity'] = (number, signal) =>
    this.call(signal, () => {
      this.step('LOOP_SET_CAPACITY', `/dev/loop${number}`)
      const loop = this.state.storage.attached('LOOP_SET_CAPACITY', number)
      loop.setCapacity()
      return loop.status
    })

  loopChangeFile: KernelPort['loopChangeFile'] = (number, file, signal) =>
    this.call(signal, () => {
      this.step('LOOP_CHANGE_FD', `/dev/loop${number}`)
      return this.state.storage.changeFile(number, file).status
    })

  loopSetDirectIo: KernelPort['loopSetDirectIo'] = (number, directIo, signal) =>
    this.call(signal, () => {
      this.step('LOOP_SET_DIRECT_IO', `/dev/loop${number}`)
      const loop = this.state.storage.attached('LOOP_SET_DIRECT_IO', number)
      loop.directIo = directIo
      return loop.status
    })

  loopDetachAtLastClose: KernelPort['loopDetachAtLastClose'] = (number, signal) =>
    this.call(signal, () => {
      this.step('LOOP_CLR_FD', `/dev/loop${number}`)
      return this.state.storage.detach(number)
    })

  loopDetach: KernelPort['loopDetach'] = (number, limitMs, signal) =>
    this.call(signal, () =>
      this.retryWhileBusy(limitMs, signal, () => {
        this.step('LOOP_CLR_FD', `/dev/loop${number}`)
        if (this.state.storage.detach(number)) return
        const detail = 'held open; the kernel detaches it at the last close'
        throw new Refusal('LOOP_CLR_FD', ERRNO.EBUSY, { device: `/dev/loop${number}`, detail })
      }),
    )

  loopHold: KernelPort['loopHold'] = (number, signal) =>
    this.call(signal, () => this.state.handle(this.state.storage.attached('open loop', number).open(processOpener())))

  lockNode: KernelPort['lockNode'] = (path, signal) =>
    this.call(signal, async () => {
      const device = this.state.node(path)?.number ?? path // or a folder
      const { lockedNodes } = this.state
      const take = () => (lockedNodes.has(device) ? undefined : lockedNodes.add(device))
      await this.state.changes.until(take, signal, 'lock node')
      return this.state.handle(() => {
        lockedNodes.delete(device)
        this.state.changes.announce()
      })
    })

  readSmallFile: KernelPort['readSmallFile'] = path =>
    this.call(undefined, () => {
      const file = this.state.storage.file(path)
      return file && Buffer.from(file.bytes.read(0, file.bytes.sizeBytes)).toString('utf8')
    })

  replaceSmallFile: KernelPort['replaceSmallFile'] = (path, content) =>
    this.call(undefined, () => {
      const bytes = Buffer.from(content)
      this.state.storage.deleteFile(path)
      this.state.storage.addFile(path, bytes.length).bytes.write(0, bytes)
    })

  readRunFile: KernelPort['readRunFile'] = path => this.readSmallFile(path)
  replaceRunFile: KernelPort['replaceRunFile'] = (path, content) => this.replaceSmallFile(path, content)

  fileSystemSpace: KernelPort['fileSystemSpace'] = path =>
    this.call(undefined, () => {
      this.state.storage.opened(path)
      return this.state.storage.space
    })

  release = (handle: Handle): Promise<void> => Promise.resolve(this.state.release(handle))

  identify: KernelPort['identify'] = (path, signal) =>
    this.call(signal, (): FileIdentity => {
      const node = this.state.node(path)
      if (!node) return this.state.storage.opened(path).identity
      const nothing = { sizeBytes: 0, allocatedBytes: 0, regular: false }
      return {
        device: encodeDevice(0, 5),
        inode: BigInt(node.number),
        blockDevice: true,
        targetDevice: node.number,
        ...nothing,
      }
    })

  createSparse: KernelPort['createSparse'] = (path, sizeBytes, signal) =>
    this.call(signal, () => {
      this.step('create file', path)
      return this.state.storage.createSparse(path, sizeBytes)
    })

  growFile: KernelPort['growFile'] = (path, sizeBytes, signal) =>
    this.call(signal, () => {
      this.step('ftruncate', path)
      return this.state.storage.growFile(path, sizeBytes)
    })

  deleteFile: KernelPort['deleteFile'] = (path, signal) =>
    this.call(signal, () => {
      this.step('unlink', path)
      this.state.storage.deleteFile(path)
    })

  blockSizeBytes: KernelPort['blockSizeBytes'] = (path, signal) =>
    this.call(signal, () => this.state.device('BLKGETSIZE64', path).sizeBytes)

  readBlocks: KernelPort['readBlocks'] = (path, blocks, blockBytes, exclusive, signal) =>
    this.call(signal, () => {
      const bytes = this.state.content(path)
      if (exclusive && this.state.node(path)?.refuses('alone')) {
        throw new Refusal('open', ERRNO.EBUSY, { device: path })
      }
      this.step('pread', path)
      return blocks.map(block => {
        const left = Math.max(0, Math.min(blockBytes, bytes.sizeBytes - block * blockBytes))
        const content = bytes.read(block * blockBytes, left)
        if (left === blockBytes) return content
        const whole = new Uint8Array(blockBytes)
        whole.set(content)
        return whole
      })
    })

  zeroBlocks: KernelPort['zeroBlocks'] = (path, blocks, blockBytes, signal) =>
    this.call(signal, () => {
      const device = this.state.device('pwrite', path)
      if (device.refuses('alone')) throw new Refusal('open', ERRNO.EBUSY, { device: path })
      this.step('pwrite', path)
      for (const block of blocks) {
        const left = Math.max(0, Math.min(blockBytes, device.sizeBytes - block * blockBytes))
        device.write(block * blockBytes, new Uint8Array(left))
      }
    })

  /** Does nothing, because there is no disk. */
  syncFile: KernelPort['syncFile'] = (_file, signal) => this.call(signal, () => {})
  allocateFile: KernelPort['allocateFile'] = (_path, signal) => this.call(signal, () => {})
  syncFileSystem: KernelPort['syncFileSystem'] = (_file, signal) => this.call(signal, () => {})

  mount: KernelPort['mount'] = ({ source, target }, signal) =>
    this.call(signal, () => {
      this.step('mount', source)
      const device = this.state.device('mount', source)
      if (device.refuses('alone')) throw new Refusal('mount', ERRNO.EBUSY, { device: source, detail: target })
      const opener: Opener = { kind: 'mount', path: target, pid: process.pid, claim: 'alone' }
      this.state.mounts.push({ target, close: device.open(opener) })
    })

  unmount: KernelPort['unmount'] = (target, _flags, signal) =>
    this.call(signal, () => {
      this.step('umount2', target)
      const at = this.state.mounts.map(mount => mount.target).lastIndexOf(target)
      if (at < 0) throw new Refusal('umount2', ERRNO.EINVAL, { device: target })
      for (const { close } of this.state.mounts.splice(at, 1)) close()
    })

  holdersOfMount: KernelPort['holdersOfMount'] = (_target, signal) => this.call(signal, () => [])

  holders: KernelPort['holders'] = (device, signal) =>
    this.call(signal, () => {
      const openers = this.state.numbered(device)?.openers ?? []
      return openers.map(({ kind, path, pid }) => ({ kind, path, pid }))
    })
}
