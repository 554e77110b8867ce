// Types of node-gyp-build, which has none of its own.
declare module 'node-gyp-build' {
  /** Loads the binary of the package in `folder`. */
  export default function load(folder: string): unknown
}
