// The only import of tar-stream: an optional peer dependency, loaded with the first archive.
import { dependency } from '../../base/optional-dependency.js'

export const loadTarStream = () => dependency('tar-stream', '^3.1.7', () => import('tar-stream'))
