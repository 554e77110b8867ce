// The tables of the store's records, with the additions of later versions.
import { DmThinError } from '../../base/errors.js'
import type { Database } from './sqlite.js'

/** The additions of each version to the one before. The first creates the tables. */
const STEPS: readonly string[] = [
  `
  CREATE TABLE store (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
  CREATE TABLE layer (
    id INTEGER PRIMARY KEY,
    key TEXT,
    kind TEXT NOT NULL CHECK (kind IN ('base', 'active', 'view', 'committed')),
    state TEXT NOT NULL CHECK (state IN ('making', 'ready', 'committing', 'removing', 'retired')),
    owner TEXT,
    parent INTEGER REFERENCES layer (id) ON DELETE SET NULL,
    thin INTEGER NOT NULL UNIQUE,
    size INTEGER NOT NULL,
    fs TEXT NOT NULL,
    created INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    mapped INTEGER,
    labels TEXT NOT NULL
  ) STRICT;
  CREATE UNIQUE INDEX layer_key ON layer (key) WHERE key IS NOT NULL;
  CREATE UNIQUE INDEX layer_base ON layer (fs, size) WHERE kind = 'base' AND state IN ('making', 'ready');
  CREATE INDEX layer_parent ON layer (parent);
  CREATE INDEX layer_state ON layer (state) WHERE state <> 'ready';
  `,
  `
  CREATE TABLE lease (
    id INTEGER PRIMARY KEY,
    thin INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('use', 'keep')),
    owner TEXT NOT NULL
  ) STRICT;
  CREATE INDEX lease_thin ON lease (thin);
  ALTER TABLE layer ADD COLUMN raw INTEGER NOT NULL DEFAULT 0;
  `,
  `
  ALTER TABLE layer ADD COLUMN resets INTEGER REFERENCES layer (id) ON DELETE SET NULL;
  CREATE INDEX layer_resets ON layer (resets) WHERE resets IS NOT NULL;
  `,
  `
  CREATE TABLE claim (
    first INTEGER PRIMARY KEY,
    last INTEGER NOT NULL,
    owner TEXT NOT NULL
  ) STRICT;
  `,
  'ALTER TABLE layer ADD COLUMN snapshot_time INTEGER;',
]

/** The version that is written, and to which older ones are migrated. */
export const VERSION = STEPS.length

const versionOf = (database: Database): number => Number(database.pragma('user_version'))

/** Throws `DM_STORE_MISMATCH` if the file has a later version. */
export function checkVersion(database: Database): void {
  const version = versionOf(database)
  if (version <= VERSION) return
  const text = `${database.name} has version ${version}; this dm-thin supports version ${VERSION}`
  throw new DmThinError('DM_STORE_MISMATCH', text, { device: database.name })
}

/** Creates the tables, or migrates those of an older version. Needs a transaction, because two processes may do it. */
export function migrate(database: Database): void {
  checkVersion(database) // another process may have migrated the file since it was opened
  const version = versionOf(database)
  if (version === VERSION) return
  for (const step of STEPS.slice(version)) database.exec(step)
  database.pragma(`user_version = ${VERSION}`)
}
