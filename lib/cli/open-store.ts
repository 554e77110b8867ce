// The opening of an existing store. Only `layer create` creates a store.
import { existsSync } from 'node:fs'
import path from 'node:path'
import type { LayerStore, OpenStoreOptions, StoreFinding } from '../entry/store.js'
import { DmThinError } from '../base/errors.js'
import type { Call } from './common/call.js'
import { errorText, nameText } from './common/output.js'

/** Opens a store while `body` runs. Prints the findings of `open` in addition to the result. */
export async function withStore<T>(
  call: Call,
  directory: string,
  body: (store: LayerStore) => Promise<T>,
  options: Partial<OpenStoreOptions> = {},
): Promise<T> {
  const where = path.resolve(directory)
  if (!existsSync(path.join(where, 'layers.db'))) {
    throw new DmThinError('DM_NOT_FOUND', `no layer store in ${where}: create one with dm-thin layer create`, {
      device: where,
    })
  }
  const { LayerStore } = await import('../entry/store.js')
  const store = await LayerStore.open({ ...options, directory: where, signal: call.signal })
  try {
    if (!call.json) for (const finding of store.findings) call.note(`found at opening: ${findingText(finding)}`)
    return await body(store)
  } finally {
    await store.close()
  }
}

export function findingText({ kind, key, thin, detail, action, error }: StoreFinding): string {
  const what = [
    key === undefined ? undefined : nameText(key),
    thin === undefined ? undefined : `volume ${thin}`,
    detail,
  ]
  const about = what.filter(each => each !== undefined).join(', ')
  return `${kind}${about === '' ? '' : `: ${about}`}: ${error ? `not repaired: ${errorText(error)}` : action}`
}
