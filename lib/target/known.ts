// The targets of this library, and the parsing of a line of any of them.
import type { Segment } from '../kernel/table.js'
import { invalid, shown } from '../base/options.js'
import { cache } from './cache.js'
import { crypt } from './crypt.js'
import type { LineParser } from './define.js'
import { delay } from './delay.js'
import { era } from './era.js'
import { error } from './error.js'
import { flakey } from './flakey.js'
import type { GenericTable } from './generic.js'
import { integrity } from './integrity.js'
import { linear } from './linear.js'
import { logWrites } from './log-writes.js'
import { mirror } from './mirror.js'
import { raid } from './raid.js'
import { snapshot, snapshotMerge, snapshotOrigin } from './snapshot.js'
import { striped } from './striped.js'
import { thinPool } from './thin-pool.js'
import { thin } from './thin.js'
import { verity } from './verity.js'
import { writecache } from './writecache.js'
import { zero } from './zero.js'

/** The targets by the kernel's names. */
const KNOWN = {
  cache,
  crypt,
  delay,
  era,
  error,
  flakey,
  integrity,
  linear,
  'log-writes': logWrites,
  mirror,
  raid,
  snapshot,
  'snapshot-merge': snapshotMerge,
  'snapshot-origin': snapshotOrigin,
  striped,
  thin,
  'thin-pool': thinPool,
  verity,
  writecache,
  zero,
}

type Known = typeof KNOWN
type TableOf<Parser extends LineParser> = ReturnType<Parser['parseTable']>
type StatusOf<Parser extends LineParser> = ReturnType<Parser['parseStatus']>

/**
 * A parsed table line. `kind` is a name of `knownTargets`, and `table` the result of that target's `parseTable`. For
 * any other target the kind is `generic`.
 */
export type ParsedTable =
  | {
      [Type in keyof Known]: {
        /** The kernel's name of the target, a name of `knownTargets`. */
        readonly kind: Type
        /** The arguments, as `parseTable` of the target returns them. */
        readonly table: TableOf<Known[Type]>
      }
    }[keyof Known]
  | {
      /** Always `generic`: the library does not define the target. */
      readonly kind: 'generic'
      /** The arguments as one text. */
      readonly table: GenericTable
    }

/**
 * A parsed status line. `kind` is a name of `knownTargets`, and `status` the result of that target's `parseStatus`; it
 * is `null` if the target has none. For any other target the kind is `generic`.
 */
export type ParsedStatus =
  | {
      [Type in keyof Known]: {
        /** The kernel's name of the target, a name of `knownTargets`. */
        readonly kind: Type
        /** The status, as `parseStatus` of the target returns it. */
        readonly status: StatusOf<Known[Type]>
      }
    }[keyof Known]
  | {
      /** Always `generic`: the library does not define the target. */
      readonly kind: 'generic'
      /** The words of the status as one text. */
      readonly status: string
    }

/** A parsed table line of a target that the caller defined. */
export interface ParsedOwnTable<Own extends LineParser> {
  /** Always `own`: the caller defined the target. */
  readonly kind: 'own'
  /** The arguments, as `parseTable` of the target returns them. */
  readonly table: TableOf<Own>
}

/** A parsed status line of a target that the caller defined. */
export interface ParsedOwnStatus<Own extends LineParser> {
  /** Always `own`: the caller defined the target. */
  readonly kind: 'own'
  /** The status, as `parseStatus` of the target returns it. */
  readonly status: StatusOf<Own>
}

/** The names of the targets that this library defines. */
export const knownTargets: readonly string[] = Object.keys(KNOWN)

/**
 * Parses a table line of any target. `own` are the caller's targets; they take precedence over those of the library, so
 * that one of the same name replaces it. Throws `DM_KERNEL` for a line that its target cannot parse.
 */
export function parseTableLine<Own extends LineParser = never>(
  line: Segment,
  own: readonly Own[] = [],
): ParsedTable | ParsedOwnTable<Own> {
  const { type, parameters } = checkedLine(line)
  const found = own.find(target => target.type === type)
  if (found) return { kind: 'own', table: found.parseTable(line) as TableOf<Own> }
  const known = knownTarget(type)
  if (known) return { kind: type, table: known.parseTable(line) } as ParsedTable
  return { kind: 'generic', table: { lengthSectors: line.lengthSectors, type, parameters } }
}

/** Parses a status line of any target, with the same rules. */
export function parseStatusLine<Own extends LineParser = never>(
  line: Segment,
  own: readonly Own[] = [],
): ParsedStatus | ParsedOwnStatus<Own> {
  const { type, parameters } = checkedLine(line)
  const found = own.find(target => target.type === type)
  if (found) return { kind: 'own', status: found.parseStatus(line) as StatusOf<Own> }
  const known = knownTarget(type)
  if (known) return { kind: type, status: known.parseStatus(line) } as ParsedStatus
  return { kind: 'generic', status: parameters }
}

const knownTarget = (type: string): LineParser | undefined =>
  Object.hasOwn(KNOWN, type) ? KNOWN[type as keyof Known] : undefined

function checkedLine(line: unknown): Segment {
  const { type, parameters } = (line ?? {}) as Partial<Segment>
  if (typeof type === 'string' && typeof parameters === 'string') return line as Segment
  throw invalid(`a line must have a type and parameters, but is ${shown(line)}`)
}
