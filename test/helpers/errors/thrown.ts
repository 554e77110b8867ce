import { DmThinError } from '../../../lib/base/errors'

/** What `act` throws, which must be an error of this library. */
export function thrown(act: () => unknown): DmThinError {
  try {
    act()
  } catch (fault) {
    if (fault instanceof DmThinError) return fault
    throw fault
  }
  throw new Error('nothing was thrown')
}

/** What `act` rejects with, which must be an error of this library. */
export async function rejection(act: () => Promise<unknown>): Promise<DmThinError> {
  try {
    await act()
  } catch (fault) {
    if (fault instanceof DmThinError) return fault
    throw fault
  }
  throw new Error('nothing was thrown')
}
