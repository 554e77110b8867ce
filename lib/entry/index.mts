// The ESM face of the same build: the very classes of index.ts, so that `instanceof` holds across formats. Values are
// named, since `export *` of a CommonJS module brings `__esModule` along and, from Node 23, `module.exports`; a test
// holds the names to those of index.ts.
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
  KiB,
  LoopDevice,
  MiB,
  mount,
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
