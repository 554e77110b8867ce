// The calls of a volume that read the metadata of its pool: each opens it for itself.
import { provideMetadataCalls, type MetadataCalls } from '../pool/volume/metadata-calls.js'
import { signalOption } from '../base/options.js'
import { ThinMetadata } from './thin-metadata.js'

const calls: MetadataCalls = {
  async bookmark(pool, id, path, options) {
    const metadata = await ThinMetadata.openPool(pool, signalOption(options.signal))
    try {
      return await metadata.bookmark(id, path, options)
    } finally {
      await metadata.close()
    }
  },
  async *changedSince(pool, id, path, options) {
    const metadata = await ThinMetadata.openPool(pool, signalOption(options.signal))
    try {
      yield* metadata.changedSince(path, id, options)
    } finally {
      await metadata.close()
    }
  },
}

provideMetadataCalls(calls)
