// The progress of a transfer, as callbacks receive it.

/** The amount of a volume that was sent, received or saved so far. */
export interface TransferProgress {
  /** The number of bytes of content. */
  readonly bytes: number
  /** The offset in the volume that was reached. */
  readonly offsetBytes: number
  /** The size of the whole volume: 100 percent of `offsetBytes`. */
  readonly sizeBytes: number
}
