// The ESM face of the same build: the very classes of index.ts, so that `instanceof` holds across formats. Values are
// named, since `export *` of a CommonJS module brings `__esModule` along and, from Node 23, `module.exports`; a test
// holds the names to those of index.ts.
export type * from './index.js'
export {
  DmThinError,
  GiB,
  KiB,
  LoopDevice,
  MiB,
  mount,
  SECTOR_BYTES,
  ThinPool,
  ThinVolume,
  TiB,
  unmount,
  volumesOf,
  Watch,
  watchDevices,
} from './index.js'
