// What `npm test` runs a part of, and `npm run test:full` all.

/** True in `npm run test:full` and `npm run test:all`. */
export const isFull = process.env['DM_THIN_FULL'] === '1'

/** Returns all items if full, and otherwise one of `each`, from the one at `offset` on: the same in each run. */
export const sampleOf = <T>(items: readonly T[], each: number, offset = 0): readonly T[] =>
  isFull ? items : items.filter((_, at) => (at + offset) % each === 0)

/**
 * Returns seeds of random histories: `usual` of them, the same in each run, or `full` new ones, which the titles of the tests
 * print. `DM_THIN_SEED=N` repeats those from N on.
 */
export function seeds({ usual, full }: { readonly usual: number; readonly full: number }): number[] {
  const first = Number(process.env['DM_THIN_SEED'] ?? (isFull ? Date.now() % 2 ** 30 : 1))
  return Array.from({ length: isFull ? full : usual }, (_, at) => first + at)
}
