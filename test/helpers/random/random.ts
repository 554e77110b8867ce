// Random input that is the same in every run: a failure can be looked at again.

export interface Random {
  /** A whole number from `min` to `max`, both included. */
  integer(min: number, max: number): number
  /** A whole number from 0 to `end` - 1. */
  below(end: number): number
  pick<T>(list: readonly T[]): T
  boolean(): boolean
  /** True in `percent` of 100 calls. */
  chance(percent: number): boolean
}

/** mulberry32: 32 bits of state, good enough to choose test cases. */
export function seeded(seed: number): Random {
  let state = seed >>> 0
  const fraction = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  const integer = (min: number, max: number) => min + Math.floor(fraction() * (max - min + 1))
  const below = (end: number) => integer(0, end - 1)
  return {
    integer,
    below,
    pick: list => list[below(list.length)]!,
    boolean: () => below(2) === 1,
    chance: percent => below(100) < percent,
  }
}
