// The optional package prom-client. Its types are in no declaration of the public files, so that they need no package.
import { dependency } from '../base/optional-dependency.js'

/** Loads prom-client. Rejects with `DM_DEPENDENCY` if the package is not installed. */
export const loadPromClient = () => dependency('prom-client', '^15', () => import('prom-client'))
