// Ranges of virtual blocks: of one volume, and of the differences of two.

/** Virtual blocks of one volume that are mapped to consecutive data blocks. */
export interface MappedRange {
  /** The first virtual block. */
  readonly begin: number
  /** The number of blocks. */
  readonly length: number
  /** The data block of the first. */
  readonly data: number
  /** The pool's snapshot clock when the blocks were mapped: the low 24 bits. */
  readonly time: number
}

/** Virtual blocks that differ between two volumes, or are the same. */
export interface DeltaRange {
  /**
   * `leftOnly`: mapped on the left only. `rightOnly`: mapped on the right only. `different`: mapped to different data
   * blocks. `same`: mapped to the same data blocks; only with the option `same`.
   */
  readonly type: 'leftOnly' | 'rightOnly' | 'different' | 'same'
  /** The first virtual block. */
  readonly begin: number
  /** The number of blocks. */
  readonly length: number
  /** With `withData`: the data block of the first on the left; undefined for `rightOnly`. */
  readonly leftData?: number
  /** With `withData`: the data block of the first on the right; undefined for `leftOnly`. */
  readonly rightData?: number
}
