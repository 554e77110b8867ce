// Keys in what goes to the kernel and comes from it: they must not be shown to anybody, nor end up in a log.
import type { DmThinError } from '../../base/errors.js'

/** What the kernel splits at (isspace): a line may have any number of them between its words. */
const BLANKS = /[ \t-\r]+/

/** The words of a table line that must not be shown to anybody: keys of crypt and of integrity. */
export function secretsOf({ type, parameters }: { readonly type: string; readonly parameters: string }): string[] {
  const words = parameters.split(BLANKS).filter(word => word !== '')
  if (type === 'crypt') return words.slice(1, 2).filter(word => /^[0-9a-fA-F]{2,}$/.test(word))
  if (type !== 'integrity') return []
  const keyed = words.map(word => /^(?:internal_hash|journal_crypt|journal_mac):[^:]+:(.+)$/.exec(word)?.[1] ?? '')
  return keyed.filter(key => key !== '')
}

/** Finds the keys in arguments or results of a call: in table lines, and in crypt's message `key set KEY`. */
export function secretsIn(value: unknown): string[] {
  if (typeof value === 'string') {
    const [, key] = /^\s*key\s+set\s+([0-9a-fA-F]{2,})\s*$/i.exec(value) ?? []
    return key === undefined ? [] : [key]
  }
  if (Array.isArray(value)) return value.flatMap(secretsIn)
  if (!isPlain(value)) return []
  const { type, parameters } = value
  const own = typeof type === 'string' && typeof parameters === 'string' ? secretsOf({ type, parameters }) : []
  return [...own, ...Object.values(value).flatMap(secretsIn)]
}

/** A copy with each of `secrets` replaced; the value itself where there are none. */
export function masked<T>(value: T, secrets: readonly string[]): T {
  return secrets.length === 0 ? value : (copyOf(value, text => maskText(text, secrets)) as T)
}

export const maskText = (text: string, secrets: readonly string[]): string =>
  secrets.reduce((rest, secret) => rest.replaceAll(secret, '…'), text)

/** The same error, without what is secret in its texts. */
export function maskError(fault: DmThinError, secrets: readonly string[]): DmThinError {
  if (secrets.length === 0) return fault
  const clean = (text: string | undefined) => (text === undefined ? undefined : maskText(text, secrets))
  return fault.refined(fault.code, maskText(fault.message, secrets), {
    detail: clean(fault.detail),
    kernelReason: clean(fault.kernelReason),
  })
}

function copyOf(value: unknown, clean: (text: string) => string): unknown {
  if (typeof value === 'string') return clean(value)
  if (Array.isArray(value)) return value.map(each => copyOf(each, clean))
  if (!isPlain(value)) return value
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, copyOf(each, clean)]))
}

const isPlain = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype
