// The handles of native digests: each that a test opens is released at its end.
import { loadAddon } from '../../../lib/kernel/load-addon.js'

/** Checks after each test that no handle is left. If `isNative` is false, the tests run without native digests. */
export function useDigestHandles({ isNative = true } = {}): void {
  const addon = loadAddon()
  const { digestOpen, release } = addon
  const handles = new Set<unknown>()
  beforeEach(() => {
    addon['digestOpen'] = () => {
      const handle = isNative ? digestOpen!() : null
      if (handle !== null) handles.add(handle)
      return handle
    }
    addon['release'] = (handle, ...rest) => {
      handles.delete(handle)
      return release!(handle, ...rest)
    }
  })
  afterEach(() => {
    Object.assign(addon, { digestOpen, release })
    const left = [...handles]
    handles.clear()
    expect(left).toEqual([])
  })
}
