// Keys in data to and from the kernel, which must not be shown or logged.
import type { DmThinError } from '../../base/errors.js'

/** The characters at which the kernel splits (isspace): there may be several of them between words. */
const BLANKS = /[ \t-\r]+/

/** Returns the secret words of a table line: keys of crypt and of integrity. */
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

/** Returns a copy in which each of `secrets` is replaced, or the value itself if there are none. */
export function masked<T>(value: T, secrets: readonly string[]): T {
  return secrets.length === 0 ? value : (copyOf(value, text => maskText(text, secrets)) as T)
}

export const maskText = (text: string, secrets: readonly string[]): string =>
  secrets.reduce((rest, secret) => rest.replaceAll(secret, '…'), text)

/** Returns the same error with the secrets in its texts masked. */
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
