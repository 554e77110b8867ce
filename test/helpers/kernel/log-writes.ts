// A disk that remembers the order of what reached it: what would be on it, had the power gone at a mark. The kernel's
// log-writes target notes writes when they are flushed (drivers/md/dm-log-writes.c), so that those of which nobody knew
// that they had arrived come late, or not at all.
import { closeSync, openSync, readSync, truncateSync, writeSync } from 'node:fs'
import { LoopDevice } from '../../../lib/entry/index.js'
import { dmCreate, dmMessage, dmRemove } from './dmsetup.js'

const SECTOR = 512
const MAGIC = 0x6a736677736872n
/** What the kernel writes itself when the device goes. */
const END_MARK = 'dm-log-writes-end'
const FLAG = { discard: 4n, mark: 8n }

export class LoggedDisk {
  readonly #name: string
  readonly #sizeBytes: number
  readonly #logFile: string
  readonly #loops: readonly LoopDevice[]

  private constructor(name: string, sizeBytes: number, logFile: string, loops: readonly LoopDevice[]) {
    this.#name = name
    this.#sizeBytes = sizeBytes
    this.#logFile = logFile
    this.#loops = loops
  }

  /** A device of this name over a sparse file, and its log in another. */
  static async make(name: string, file: string, sizeBytes: number): Promise<LoggedDisk> {
    const logFile = `${file}.log`
    closeSync(openSync(file, 'w'))
    truncateSync(file, sizeBytes)
    closeSync(openSync(logFile, 'w'))
    truncateSync(logFile, 4 * sizeBytes + 2 ** 30)
    const loops = [await LoopDevice.attach({ file }), await LoopDevice.attach({ file: logFile })]
    dmCreate(name, `0 ${sizeBytes / SECTOR} log-writes ${loops[0]!.path} ${loops[1]!.path}`)
    return new LoggedDisk(name, sizeBytes, logFile, loops)
  }

  mark(text: string): void {
    dmMessage(this.#name, 'mark', text)
  }

  /** Takes the device down: its log is whole then. */
  async end(): Promise<void> {
    dmRemove(this.#name)
    for (const loop of this.#loops) await loop.detach()
  }

  /** Writes into `image` what the log has up to each mark in turn, and calls `at` there. */
  async replay(image: string, at: (mark: string) => Promise<void>): Promise<void> {
    const log = openSync(this.#logFile, 'r')
    closeSync(openSync(image, 'w'))
    truncateSync(image, this.#sizeBytes)
    const disk = openSync(image, 'r+')
    try {
      const head = read(log, 0, SECTOR)
      if (head.readBigUInt64LE(0) !== MAGIC) throw new Error(`${this.#logFile}: no log`)
      const entries = Number(head.readBigUInt64LE(16))
      let position = SECTOR
      for (let entry = 0; entry < entries; entry += 1) {
        const block = read(log, position, SECTOR)
        const [sector, sectors, flags, length] = [0, 8, 16, 24].map(offset => block.readBigUInt64LE(offset)) as [
          bigint,
          bigint,
          bigint,
          bigint,
        ]
        position += SECTOR
        if (flags & FLAG.mark) {
          const mark = block.toString('utf8', 32, 32 + Number(length))
          if (mark !== END_MARK) await at(mark)
        } else if (flags & FLAG.discard) punch(disk, Number(sector) * SECTOR, Number(sectors) * SECTOR)
        else {
          const bytes = read(log, position, Number(sectors) * SECTOR)
          writeSync(disk, bytes, 0, bytes.length, Number(sector) * SECTOR)
          position += bytes.length
        }
      }
    } finally {
      closeSync(log)
      closeSync(disk)
    }
  }
}

function read(fd: number, position: number, length: number): Buffer {
  const bytes = Buffer.alloc(length)
  if (readSync(fd, bytes, 0, length, position) !== length) throw new Error(`the log ends at ${position}`)
  return bytes
}

/** A disk may give anything for what was discarded: zeros are as good. */
function punch(fd: number, offset: number, length: number): void {
  const zeros = Buffer.alloc(Math.min(length, 2 ** 20))
  for (let done = 0; done < length; done += zeros.length) {
    writeSync(fd, zeros, 0, Math.min(zeros.length, length - done), offset + done)
  }
}
