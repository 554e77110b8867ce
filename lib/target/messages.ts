// The messages of a thin pool (drivers/md/dm-thin.c pool_message). Each commits the pool's metadata if it succeeds.
export const message = {
  createThin: (id: number): string => `create_thin ${id}`,
  createSnap: (id: number, origin: number): string => `create_snap ${id} ${origin}`,
  delete: (id: number): string => `delete ${id}`,
  setTransactionId: (from: bigint, to: bigint): string => `set_transaction_id ${from} ${to}`,
  reserveMetadataSnap: (): string => 'reserve_metadata_snap',
  releaseMetadataSnap: (): string => 'release_metadata_snap',
}
