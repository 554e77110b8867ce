// The log-writes target: passes I/O on, and logs each write with its data to a second device
// (drivers/md/dm-log-writes.c).
import { defineTarget, type Sized } from './define.js'
import { deviceWord } from './words.js'

/** A device, and where its writes are logged. */
export interface LogWritesTable extends Sized {
  /** `7:0`, or a path. */
  readonly device: string
  readonly logDevice: string
}

/** Status of the log-writes target. */
export interface LogWritesStatus {
  readonly loggedEntries: number
  /** The last sector of the log device that has been written. */
  readonly lastSector: number
  /** The log device is full or failed: nothing is logged any more. */
  readonly loggingDisabled: boolean
}

/** Passes I/O on, and logs each write with its data to a second device (dm-log-writes). */
export const logWrites = defineTarget<LogWritesTable, LogWritesStatus>({
  type: 'log-writes',
  options: ['device', 'logDevice'],
  format: ({ device, logDevice }) => [deviceWord('device', device), deviceWord('logDevice', logDevice)],
  parseTable: reader => ({ device: reader.word('device'), logDevice: reader.word('log device') }),
  parseStatus: reader => ({
    loggedEntries: reader.number('logged entries'),
    lastSector: reader.number('last sector'),
    loggingDisabled: reader.optional() === 'logging_disabled',
  }),
})
