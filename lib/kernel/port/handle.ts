/** A descriptor that native code keeps open until `release`. */
export type Handle = number & { readonly __handle: unique symbol }

/** The port's calls on handles. */
export interface HandlePort {
  /** Resolves when the descriptor is closed, which may wait for pending writes to a device. Never rejects. */
  release(handle: Handle): Promise<void>
}
