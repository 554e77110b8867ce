// The verbs of kernel operations in messages; the name of the device or folder follows.
const VERBS: Readonly<Record<string, string>> = {
  LOOP_CLR_FD: 'detach',
  'open block device': 'open',
  BLKDISCARD: 'discard',
  BLKSECDISCARD: 'discard securely',
  BLKZEROOUT: 'write zeros to',
  BLKRRPART: 'read the partitions of',
  FIFREEZE: 'freeze',
  FITHAW: 'thaw',
  FITRIM: 'trim',
  EXT4_IOC_RESIZE_FS: 'grow the mounted file system at',
  XFS_IOC_FSGROWFSDATA: 'grow the mounted file system at',
  grow: 'grow the mounted file system at',
  mount: 'mount',
  umount2: 'unmount',
  remount: 'remount',
  pwrite: 'write to',
}

export const verbOf = (operation: string | undefined): string | undefined => VERBS[operation ?? '']
