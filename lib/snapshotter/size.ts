// Sizes with units.

const UNITS: Readonly<Record<string, number>> = { '': 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40 }

/** Parses `10GiB`, `512 MiB` or `1073741824`. Returns undefined for any other text. */
export function parseSize(text: string): number | undefined {
  const [, digits, unit] = /^(\d{1,16}) ?([KMGT]iB|)$/.exec(text) ?? []
  const bytes = Number(digits) * (UNITS[unit ?? ''] ?? NaN)
  return Number.isSafeInteger(bytes) && bytes > 0 ? bytes : undefined
}
