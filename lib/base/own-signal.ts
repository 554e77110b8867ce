// One call shared by several callers: each can abort its own waiting, and the call continues for the others.
import { abortError, throwIfAborted } from './errors.js'

/** Settles as `call` does, or rejects with `ABORT_ERR` if `signal` is aborted first. */
export async function withOwnSignal<T>(call: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return call
  call.catch(() => {}) // its other callers handle the rejection
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
