/** A descriptor that the native side keeps open until `release`. */
export type Handle = number & { readonly __handle: unique symbol }

/** What gives handles. */
export interface HandlePort {
  /** Resolves when it is closed, which may wait for what is still to be written to a device. Never rejects. */
  release(handle: Handle): Promise<void>
}
