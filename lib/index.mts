// The ESM face of the same build: the very classes of index.ts, so that `instanceof` holds across formats.
export * from './index.js'
