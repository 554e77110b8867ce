// Names by which a layer hides what lower layers have (OCI image specification, "Whiteouts").
import { type TarEntry, joined } from './entry-reader.js'
import { malformed, readable } from './tar-errors.js'

const PREFIX = '.wh.'
const OPAQUE = '.wh..wh..opq'
/** What aufs keeps for itself. Images that were made on it have some. */
const AUFS = '.wh..wh.'

/** `opaque`: all of the directory. `name`: one name in it. `nothing`: an entry that is left out. */
export type Whiteout =
  { readonly kind: 'opaque' } | { readonly kind: 'name'; readonly name: string } | { readonly kind: 'nothing' }

/** Undefined for an entry that is what it is. */
export function whiteoutOf(entry: TarEntry): Whiteout | undefined {
  const path = joined(entry.parent, entry.name)
  if (!path.includes(PREFIX)) return undefined
  if (entry.name === OPAQUE) return { kind: 'opaque' }
  const parts = path.split('/')
  if (parts.some(part => part.startsWith(AUFS))) return { kind: 'nothing' }
  if (parts.slice(0, -1).some(part => part.startsWith(PREFIX))) {
    throw malformed(`entry ${readable(path)} lies below a name that hides another`)
  }
  if (!entry.name.startsWith(PREFIX)) return undefined
  const name = entry.name.slice(PREFIX.length)
  if (name === '' || name === '.' || name === '..') throw malformed(`entry ${readable(path)} hides no name`)
  return { kind: 'name', name }
}
