// Validation of arguments before the kernel is called: options by name, numbers, names, paths.
import { DmThinError } from './errors.js'

/** The option of every call that can wait. */
export interface SignalOption {
  /** Aborts the call: it rejects with `ABORT_ERR` when the kernel has returned and the completed steps are rolled back. */
  readonly signal?: AbortSignal
}

/** Returns the option for a signal that may be undefined. */
export const signalOption = (signal: AbortSignal | undefined): SignalOption => (signal ? { signal } : {})

export function invalid(message: string): DmThinError {
  return new DmThinError('DM_INVALID_ARGUMENT', message)
}

export interface Range {
  readonly min: number
  readonly max?: number
  readonly multipleOf?: number
}

/**
 * Returns a safe integer within a range. Throws a DM_INVALID_ARGUMENT that names the option, the range and the value.
 */
export function checkNumber(name: string, value: unknown, range: Range): number {
  const max = range.max ?? Number.MAX_SAFE_INTEGER
  const step = range.multipleOf ?? 1
  if (typeof value === 'number' && Number.isSafeInteger(value)) {
    if (value >= range.min && value <= max && value % step === 0) return value
  }
  const steps = step === 1 ? '' : ` in steps of ${step}`
  throw invalid(`${name} must be a whole number from ${range.min} to ${max}${steps}, but is ${shown(value)}`)
}

/**
 * Formats a value for a message. Of objects only the kind is shown: their own conversion to text is foreign code and
 * may throw.
 */
export function shown(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value)
  if (typeof value === 'bigint') return `${value}n`
  if (typeof value === 'function') return 'a function'
  if (typeof value !== 'object' || value === null) return String(value)
  return Array.isArray(value) ? 'an array' : 'an object'
}

/** DM_NAME_LEN minus the terminator. The kernel silently truncates a longer name. */
const MAX_NAME_BYTES = 127

/**
 * Checks a name that both the kernel and udev accept unchanged. The kernel allows every byte except `/`; the narrower
 * set here is udev's, so that `/dev/mapper/NAME` equals the name (libdevmapper mangles others as `\xNN`).
 */
export function checkName(name: unknown, what = 'name'): string {
  if (typeof name !== 'string' || name === '')
    throw invalid(`${what} must be a non-empty string, but is ${shown(name)}`)
  if (Buffer.byteLength(name) > MAX_NAME_BYTES) {
    throw invalid(`${what} must be at most ${MAX_NAME_BYTES} bytes, but has ${Buffer.byteLength(name)}`)
  }
  if (name === '.' || name === '..' || name === 'control') throw invalid(`${what} ${shown(name)} is reserved`)
  const odd = /[^0-9A-Za-z#+\-.:=@_]/.exec(name)
  if (odd) throw invalid(`${what} ${shown(name)} has ${shown(odd[0])}; use letters, digits and # + - . : = @ _`)
  return name
}

/** Rejects misspelled options by name instead of ignoring them. Checks `signal` if the call has that option. */
export function checkOptions(options: unknown, known: readonly string[], call: string): void {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw invalid(`${call}: options must be an object, but are ${shown(options)}`)
  }
  for (const name of Object.keys(options)) {
    if (!known.includes(name)) throw invalid(`${call}: unknown option ${shown(name)}; known are ${known.join(', ')}`)
  }
  checkSignal((options as { signal?: unknown }).signal)
}

export function checkBoolean(name: string, value: unknown): boolean {
  return value === undefined ? false : checkRequired(name, value)
}

/** Checks a flag that must be given. */
export function checkRequired(name: string, value: unknown): boolean {
  if (typeof value !== 'boolean') throw invalid(`${name} must be true or false, but is ${shown(value)}`)
  return value
}

/** An unpaired surrogate: it has no encoding in bytes, and U+FFFD would replace it. */
const HALF = /\p{Surrogate}/u
export const hasHalf = (text: string): boolean => HALF.test(text)

/** Checks a text that the kernel reads: it must be encodable, and a NUL would end it early. */
export function checkText(name: string, value: unknown): string {
  if (typeof value === 'string' && !value.includes('\0') && !hasHalf(value)) return value
  throw invalid(`${name} must be a string without NUL characters and unpaired surrogates, but is ${shown(value)}`)
}

export function checkPath(name: string, value: unknown): string {
  if (typeof value !== 'string' || value === '') throw invalid(`${name} must be a path, but is ${shown(value)}`)
  if (value.includes('\0')) throw invalid(`${name} must not contain a NUL character`)
  if (hasHalf(value)) throw invalid(`${name} must not contain an unpaired surrogate, but is ${shown(value)}`)
  return value
}

/**
 * Returns true for an AbortSignal, by its members: one of another realm (a vm context, jest) is not an instance of this
 * realm's class.
 */
function isSignal(value: unknown): value is AbortSignal {
  if (typeof value !== 'object' || value === null) return false
  const { aborted, addEventListener } = value as Partial<AbortSignal>
  return typeof aborted === 'boolean' && typeof addEventListener === 'function'
}

function checkSignal(value: unknown): void {
  if (value === undefined || isSignal(value)) return
  throw invalid(`signal must be an AbortSignal, but is ${shown(value)}`)
}
