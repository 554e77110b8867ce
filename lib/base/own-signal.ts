// One call for several callers: each gives up its own waiting, and the call goes on for the others.
import { abortError, throwIfAborted } from './errors.js'

/** Settles as `call` does, or rejects with `ABORT_ERR` when `signal` is aborted before that. */
export async function withOwnSignal<T>(call: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return call
  call.catch(() => {}) // heard by its other callers
  throwIfAborted(signal)
  let giveUp = () => {}
  const aborted = new Promise<never>((_, reject) => {
    giveUp = () => reject(abortError(signal))
    signal.addEventListener('abort', giveUp, { once: true })
  })
  try {
    return await Promise.race([call, aborted])
  } finally {
    signal.removeEventListener('abort', giveUp)
  }
}
