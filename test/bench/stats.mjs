// Numbers in, numbers out: nothing here knows what was measured.

export function median(values) {
  if (values.length === 0) return null
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

/** Four significant digits: more would claim a precision that no run has. */
export function significant(value) {
  return value === null || !Number.isFinite(value) ? null : Number(value.toPrecision(4))
}

/** A count has itself in place of nanoseconds. */
const nanosecondsPer = { ms: 1e6, µs: 1e3, files: 1 }

export function fromNanoseconds(ns, unit) {
  return ns / nanosecondsPer[unit]
}

/** As a reader wants it in a table: three digits, no exponent. A count has no fraction. */
export function readable(value, unit) {
  if (value === null || value === undefined) return '–'
  if (unit === 'files') return String(value)
  if (value >= 100) return value.toFixed(0)
  if (value >= 10) return value.toFixed(1)
  return value >= 1 ? value.toFixed(2) : value.toFixed(3)
}

export function ratio(value) {
  if (value >= 10) return value.toFixed(value >= 100 ? 0 : 1)
  return value >= 0.01 ? value.toFixed(2) : value.toFixed(4)
}
