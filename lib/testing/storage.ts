// Files and loop devices in memory. Paths are names only: nothing of the machine is read or written.
import { ERRNO } from '../base/errors.js'
import type { NativeOperation } from '../kernel/errors/native-operation.js'
import type { FileIdentity } from '../kernel/port/file-port.js'
import type { LoopRequest, LoopStatus } from '../kernel/port/loop-port.js'
import { encodeDevice, loopNumber } from '../base/device-number.js'
import type { FileSystemSpace } from '../kernel/port/file-port.js'
import { BlockDevice } from './block-device.js'
import { IoError, Refusal } from './refusal.js'
import { SparseBytes } from './sparse-bytes.js'

/** The device number of the file system of all files. Kernels do not assign this major. */
const FILE_SYSTEM = encodeDevice(1001, 0)
const SECTOR = 512

/** A file. */
class MemoryFile {
  /** The path; undefined after the file is deleted. Openers keep the file. */
  path: string | undefined
  readonly lastPath: string

  constructor(
    path: string,
    readonly inode: bigint,
    readonly bytes: SparseBytes,
  ) {
    this.path = path
    this.lastPath = path
  }

  get identity(): FileIdentity {
    const { sizeBytes, allocatedBytes } = this.bytes
    const kind = { regular: true, blockDevice: false, targetDevice: 0 }
    return { device: FILE_SYSTEM, inode: this.inode, sizeBytes, allocatedBytes, ...kind }
  }
}

/** A loop device. */
class LoopMemory extends BlockDevice {
  readonly number: number
  readonly path: string
  #capacity = 0
  autoclear: boolean
  directIo: boolean

  constructor(
    readonly index: number,
    public file: MemoryFile,
    readonly request: LoopRequest,
    readonly detach: () => void,
  ) {
    super()
    this.number = loopNumber(index)
    this.path = `/dev/loop${index}`
    this.autoclear = request.autoclear === true
    this.directIo = request.directIo === true
    this.setCapacity()
  }

  get sizeBytes(): number {
    return this.#capacity
  }

  get readOnly(): boolean {
    return this.request.readOnly === true
  }

  setCapacity(): void {
    this.#capacity = this.capacityOver(this.file)
  }

  /** Returns the size that the device would have with a file. */
  capacityOver(file: MemoryFile): number {
    const { offsetBytes = 0, sizeLimitBytes = 0 } = this.request
    const left = Math.max(0, file.bytes.sizeBytes - offsetBytes)
    const shown = sizeLimitBytes === 0 ? left : Math.min(left, sizeLimitBytes)
    return Math.floor(shown / SECTOR) * SECTOR
  }

  read(offset: number, length: number): Uint8Array {
    return this.file.bytes.read(offset + (this.request.offsetBytes ?? 0), length)
  }

  write(offset: number, content: Uint8Array): void {
    if (this.readOnly) throw new IoError('EPERM')
    this.file.bytes.write(offset + (this.request.offsetBytes ?? 0), content)
  }

  get status(): LoopStatus {
    const { offsetBytes = 0, sizeLimitBytes = 0 } = this.request
    return {
      number: this.index,
      file: this.file.path ?? `${this.file.lastPath} (deleted)`,
      backingDevice: FILE_SYSTEM,
      backingInode: this.file.inode,
      offsetBytes,
      sizeLimitBytes,
      sizeBytes: this.sizeBytes,
      readOnly: this.readOnly,
      autoclear: this.autoclear,
      directIo: this.directIo,
      partitionScan: this.request.partitionScan ?? false,
      blockSizeBytes: this.request.blockSizeBytes || SECTOR,
      reference: this.request.reference || (this.file.path ?? this.file.lastPath),
    }
  }

  protected lastClosed(): void {
    if (this.autoclear) this.detach()
  }
}

/** The files and loop devices of a memory kernel. */
export class Storage {
  readonly #files = new Map<string, MemoryFile>()
  readonly #loops = new Map<number, LoopMemory>()
  #inodes = 0n
  /** The space of the file system below all files. */
  space: FileSystemSpace = { freeBytes: Number.MAX_SAFE_INTEGER, totalBytes: Number.MAX_SAFE_INTEGER }

  get files(): readonly string[] {
    return [...this.#files.keys()].sort()
  }

  get loops(): readonly LoopMemory[] {
    return [...this.#loops.values()].sort((a, b) => a.index - b.index)
  }

  file(path: string): MemoryFile | undefined {
    return this.#files.get(path)
  }

  /** Creates a sparse file. Its errors are those of create_sparse in native/block/backing_file.cc. */
  createSparse(path: string, sizeBytes: number): FileIdentity & { readonly created: boolean } {
    const there = this.file(path)
    if (!there) return { ...this.addFile(path, sizeBytes).identity, created: true }
    const has = there.bytes.sizeBytes
    if (has !== sizeBytes) {
      const errno = has > sizeBytes ? ERRNO.EFBIG : ERRNO.ERANGE
      throw new Refusal('create file', errno, { device: path, detail: String(has) })
    }
    return { ...there.identity, created: false }
  }

  addFile(path: string, sizeBytes: number): MemoryFile {
    const file = new MemoryFile(path, ++this.#inodes, new SparseBytes(sizeBytes))
    this.#files.set(path, file)
    return file
  }

  growFile(path: string, sizeBytes: number): FileIdentity {
    const file = this.opened(path)
    const has = file.bytes.sizeBytes
    if (has >= sizeBytes) throw new Refusal('ftruncate', ERRNO.ERANGE, { device: path, detail: String(has) })
    file.bytes.grow(sizeBytes)
    return file.identity
  }

  deleteFile(path: string): void {
    const file = this.file(path)
    if (!file) return
    file.path = undefined
    this.#files.delete(path)
  }

  opened(path: string): MemoryFile {
    const file = this.file(path)
    if (!file) throw new Refusal('open', ERRNO.ENOENT, { device: path })
    return file
  }

  attach(request: LoopRequest): LoopMemory {
    const file = this.#claimed(request)
    let index = 0
    while (this.#loops.has(index)) index += 1
    const loop = new LoopMemory(index, file, request, () => this.#loops.delete(index))
    this.#loops.set(index, loop)
    return loop
  }

  /** Replaces the file of a read-only device by another of the same size, as drivers/block/loop.c loop_change_fd does. */
  changeFile(index: number, path: string): LoopMemory {
    const operation = 'LOOP_CHANGE_FD'
    const loop = this.attached(operation, index)
    const file = this.#claimed({ ...loop.request, file: path }, loop)
    if (!loop.readOnly || loop.capacityOver(file) !== loop.capacityOver(loop.file)) {
      throw new Refusal(operation, ERRNO.EINVAL, { device: loop.path, detail: path })
    }
    loop.file = file
    return loop
  }

  /** Returns the file for a loop device. Throws if another loop device has an overlapping part of it. */
  #claimed(request: LoopRequest, own?: LoopMemory): MemoryFile {
    const file = this.opened(request.file)
    const other = this.loops.find(loop => loop !== own && loop.file === file && overlap(loop.request, request))
    if (other) throw new Refusal('attach', ERRNO.EEXIST, { device: request.file, detail: other.path })
    return file
  }

  loop(index: number): LoopMemory | undefined {
    return this.#loops.get(index)
  }

  attached(operation: NativeOperation, index: number): LoopMemory {
    const loop = this.loop(index)
    if (!loop) throw new Refusal(operation, ERRNO.ENXIO, { device: `/dev/loop${index}` })
    return loop
  }

  /** Detaches a loop device. Returns false if it is open; in that case it is detached at the last close. */
  detach(index: number): boolean {
    const loop = this.loop(index)
    if (!loop) return true
    if (loop.openers.length === 0) loop.detach()
    else loop.autoclear = true
    return this.loop(index) !== loop
  }
}

const end = ({ offsetBytes = 0, sizeLimitBytes = 0 }: LoopRequest) =>
  sizeLimitBytes === 0 ? Infinity : offsetBytes + sizeLimitBytes

const overlap = (a: LoopRequest, b: LoopRequest): boolean =>
  (a.offsetBytes ?? 0) < end(b) && (b.offsetBytes ?? 0) < end(a)
