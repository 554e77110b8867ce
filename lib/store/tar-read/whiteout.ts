// Whiteouts: names of entries that remove content of lower layers (OCI image specification, "Whiteouts").
import { type TarEntry, joined } from './entry-reader.js'
import { malformed, readable } from './tar-errors.js'

const PREFIX = '.wh.'
const OPAQUE = '.wh..wh..opq'
/** The prefix of internal files of aufs. Images that were created on aufs contain some. */
const AUFS = '.wh..wh.'

/** The effect of an entry. `opaque`: hides a whole directory. `name`: hides one name. `nothing`: the entry is skipped. */
type Whiteout =
  { readonly kind: 'opaque' } | { readonly kind: 'name'; readonly name: string } | { readonly kind: 'nothing' }

/** Returns the whiteout of an entry, or undefined for an ordinary entry. */
export function whiteoutOf(entry: TarEntry): Whiteout | undefined {
  const path = joined(entry.parent, entry.name)
  if (!path.includes(PREFIX)) return undefined
  if (entry.name === OPAQUE) return { kind: 'opaque' }
  const parts = path.split('/')
  if (parts.some(part => part.startsWith(AUFS))) return { kind: 'nothing' }
  if (parts.slice(0, -1).some(part => part.startsWith(PREFIX))) {
    throw malformed(`entry ${readable(path)} is inside a whiteout`)
  }
  if (!entry.name.startsWith(PREFIX)) return undefined
  const name = entry.name.slice(PREFIX.length)
  if (name === '' || name === '.' || name === '..')
    throw malformed(`entry ${readable(path)} is a whiteout without a name`)
  return { kind: 'name', name }
}
