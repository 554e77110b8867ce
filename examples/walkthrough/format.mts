// Making a file system is not the library's job. This is the one place where a process is started, and it can be
// replaced: anything that turns a block device into a file system will do.
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

export type Formatter = (device: string) => Promise<void>

/** ext4 with its tables left for later (`noinit_itable` at mount keeps them so): the volume stays as small as it is. */
export const ext4: Formatter = async device => {
  const options = ['-q', '-F', '-E', 'lazy_itable_init=1,lazy_journal_init=1,nodiscard']
  await promisify(execFile)('mkfs.ext4', [...options, device])
}
