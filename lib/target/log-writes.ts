// The log-writes target, which logs each write with its data to a second device (drivers/md/dm-log-writes.c).
import { defineTarget, type Sized } from './define.js'
import { deviceWord } from './words.js'

/** The table of the log-writes target: a device, and the log of its writes. */
export interface LogWritesTable extends Sized {
  /** The device: `7:0`, or a path. */
  readonly device: string
  /** The device of the log: `7:1`, or a path. The log starts at its beginning with each table. */
  readonly logDevice: string
}

/** Status of the log-writes target. */
export interface LogWritesStatus {
  /** The number of entries in the log: one for each write, flush, discard or mark. */
  readonly loggedEntries: number
  /** The last written sector of the log device. */
  readonly lastSector: number
  /** True if the log device is full or failed and logging has stopped. */
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
