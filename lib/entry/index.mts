// The ESM entry of the same build, with the same classes as index.ts, so that `instanceof` holds across formats. Values
// are exported by name, because `export *` of a CommonJS module adds `__esModule` and, from Node 23, `module.exports`. A
// test compares the names with those of index.ts.
export type * from './index.js'
export {
  alignedBuffer,
  bindMount,
  BlockDevice,
  detectFileSystem,
  DmThinError,
  freeze,
  GiB,
  growFileSystem,
  holdersOf,
  Keeper,
  KiB,
  LoopDevice,
  MiB,
  mount,
  POOL_MODES,
  remount,
  SECTOR_BYTES,
  setPropagation,
  thaw,
  ThinPool,
  ThinVolume,
  TiB,
  trim,
  unmount,
  volumesOf,
  Watch,
  watchDevices,
  whileFrozen,
} from './index.js'
