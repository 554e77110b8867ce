// The thin target: its table line and its status line. Pure; source: drivers/md/dm-thin.c (thin_ctr, thin_status).
import { MAX_THIN_ID, SECTOR_BYTES } from '../base/units.js'
import { defineTarget, type Sized } from './define.js'
import { LineReader } from './line.js'
import { deviceWord, numberWord } from './words.js'

/** Status of the thin target. */
export type ThinStatusLine =
  | {
      /** Always `active`: the kernel reports the blocks of the volume. */
      readonly state: 'active'
      /** The size of the mapped blocks in bytes, exclusive and shared. */
      readonly mappedBytes: number
      /** The last mapped byte, or null if no block is mapped. */
      readonly highestMappedByte: number | null
    }
  | {
      /** `fail`: the pool has failed. `error`: the kernel could not read the volume's status. */
      readonly state: 'fail' | 'error'
    }

/** Parses `<mapped sectors> <highest mapped sector|->`; a lone `-` stands for a volume that is not yet set up. */
export function parseThinStatus(parameters: string): ThinStatusLine {
  const usual = USUAL.exec(parameters)
  if (usual) {
    return mappedStatus(Number(usual[1]) * SECTOR_BYTES, usual[2] === '-' ? null : Number(usual[2]) * SECTOR_BYTES)
  }
  const text = parameters.trim()
  if (text === 'Fail') return { state: 'fail' }
  if (text === 'Error') return { state: 'error' }
  if (text === '-') return mappedStatus(0, null)
  const reader = new LineReader('thin status', parameters)
  const mapped = reader.sectorBytes('mapped sectors')
  const next = reader.optional()
  return mappedStatus(mapped, next === undefined || next === '-' ? null : reader.sectorBytes('highest mapped sector'))
}

/** The form of nearly every line, parsed at once, because hundreds are requested together. In bytes below 2^53. */
const USUAL = /^(\d{1,13}) (\d{1,13}|-) ?$/

/** Returns the status. `highest`: the first byte of the highest mapped sector. */
const mappedStatus = (mappedBytes: number, highest: number | null): ThinStatusLine => ({
  state: 'active',
  mappedBytes,
  highestMappedByte: highest === null ? null : highest + SECTOR_BYTES - 1,
})

/** The table of a thin volume, without the checks of the pool API: it may be active twice. */
export interface ThinVolumeTable extends Sized {
  /** The pool: `253:0`, or a path. */
  readonly poolDevice: string
  /** The thin id, 0 to 2^24-1. */
  readonly id: number
  /** The device that is read at blocks of which the volume has none: any device, read-only. Default none. */
  readonly externalOrigin?: string
}

/** Maps a volume of a thin pool, without the checks of the pool API (dm-thin). */
export const thin = defineTarget<ThinVolumeTable, ThinStatusLine>({
  type: 'thin',
  options: ['poolDevice', 'id', 'externalOrigin'],
  format: ({ poolDevice, id, externalOrigin }) => [
    deviceWord('poolDevice', poolDevice),
    numberWord('id', id, { min: 0, max: MAX_THIN_ID }),
    ...(externalOrigin === undefined ? [] : [deviceWord('externalOrigin', externalOrigin)]),
  ],
  parseTable: reader => {
    const poolDevice = reader.word('pool')
    const id = reader.number('thin id')
    const externalOrigin = reader.optional()
    return { poolDevice, id, ...(externalOrigin !== undefined && { externalOrigin }) }
  },
  parseStatus: (_, line) => parseThinStatus(line.parameters),
})
