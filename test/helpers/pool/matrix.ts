// Methods against states: each call is tried, and what came of all of them is compared with the table in one look.
import { setTimeout as sleep } from 'node:timers/promises'
import { DmThinError, type ErrorCode } from '../../../lib/entry/index.js'

/** `waits`: in the kernel, until the signal gives it up; the call then rejects with `ABORT_ERR`. */
export type Expected = 'resolves' | 'waits' | ErrorCode

/** One call. In a state that is not named it resolves. */
export interface Row<Bench, State extends string> {
  /** As the class has it: `snapshot`. */
  readonly method: string
  /** Tells rows of one method apart: `of an inactive volume`. */
  readonly how: string
  readonly call: (bench: Bench, signal: AbortSignal) => Promise<unknown>
  readonly in: Partial<Record<State, Expected>>
  /** Where it resolved: looks closer, or reverts what it made. */
  readonly then?: ((bench: Bench, value: unknown) => Promise<unknown>) | undefined
  /** Has done something already where it is refused. */
  readonly partly?: boolean
}

/** No test of how fast it is: what has not ended by then never ends, and is to be told by name. */
const HANGS_MS = 120_000
/** For the kernel to be reached. Too short, and the abort comes before it: the outcome is the same. */
const REACH_MS = 100

const outcomeOf = (call: Promise<unknown>): Promise<{ readonly text: string; readonly value?: unknown }> =>
  call.then(
    value => ({ text: 'resolves', value }),
    (fault: unknown) => ({ text: fault instanceof DmThinError ? fault.code : `not ours: ${String(fault)}` }),
  )

/**
 * Tries every row in `state`: first what is refused and what waits, then what resolves, in the order of the table.
 * `unchanged` is a text of all that must be the same before and after the first group.
 */
export async function tryRows<Bench, State extends string>(
  rows: readonly Row<Bench, State>[],
  state: State,
  bench: Bench,
  unchanged: () => Promise<string>,
): Promise<void> {
  const expected: Record<string, Expected> = {}
  const found: Record<string, string> = {}
  const tryAll = async (some: readonly Row<Bench, State>[]) => {
    for (const row of some) {
      const name = `${row.method} ${row.how}`.trim()
      expected[name] = row.in[state] ?? 'resolves'
      found[name] = await tried(row, name, expected[name], bench)
    }
  }
  const changes = (row: Row<Bench, State>) => row.partly === true || (row.in[state] ?? 'resolves') === 'resolves'
  const before = await unchanged()
  await tryAll(rows.filter(row => !changes(row)))
  expect(found).toEqual(expected)
  expect(await unchanged()).toBe(before)
  await tryAll(rows.filter(changes))
  expect(found).toEqual(expected)
}

async function tried<Bench, State extends string>(
  row: Row<Bench, State>,
  name: string,
  expected: Expected,
  bench: Bench,
): Promise<string> {
  const controller = new AbortController()
  const outcome = outcomeOf(row.call(bench, controller.signal))
  const over = new AbortController()
  const limit = sleep(HANGS_MS, undefined, { signal: over.signal }).then(
    () => ({ text: `hangs: ${name}`, value: undefined }),
    () => ({ text: '', value: undefined }),
  )
  if (expected === 'waits') {
    const early = await Promise.race([outcome, sleep(REACH_MS)])
    controller.abort()
    if (early === undefined && (await Promise.race([outcome, limit])).text === 'ABORT_ERR') {
      over.abort()
      return 'waits'
    }
  }
  const { text, value } = await Promise.race([outcome, limit])
  over.abort()
  if (text === 'resolves') await row.then?.(bench, value)
  return text
}

/** Older versions of Node have another word for the symbol. */
export const DISPOSE = String(Symbol.asyncDispose)

/** What a class offers: names of methods and getters, inherited ones and statics too, but for those marked internal. */
export function offered(type: { readonly prototype: object; readonly name: string }): {
  readonly methods: string[]
  readonly getters: string[]
} {
  const methods: string[] = []
  const getters: string[] = []
  const all: Record<string | symbol, PropertyDescriptor> = { ...Object.getOwnPropertyDescriptors(type) }
  for (let of: object = type.prototype; of !== Object.prototype; of = Object.getPrototypeOf(of) as object)
    Object.assign(all, Object.getOwnPropertyDescriptors(of))
  for (const key of Reflect.ownKeys(all)) {
    const found = all[key]!
    if (found.get !== undefined) getters.push(String(key))
    else if (typeof found.value === 'function' && key !== 'constructor') methods.push(String(key))
  }
  return { methods: methods.sort(), getters: getters.sort() }
}

/** The methods that rows try, each once. */
export const methodsOf = (rows: readonly { readonly method: string }[]): string[] =>
  [...new Set(rows.map(row => row.method))].sort()
