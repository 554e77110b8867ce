/**
 * What udev is told about our devices, as flags beside an empty cookie: it makes the `/dev/mapper` link and does not
 * probe the content. Probing opens a new volume behind its user's back, and is the common cause of EBUSY at removal.
 * With no cookie there is nothing to wait for, so nothing hangs where udevd is missing, stopped, or on the other side
 * of a container: the node to use is `/dev/dm-N`, which the kernel itself makes (devtmpfs).
 *
 * Bits of libdevmapper.h: DISABLE_SUBSYSTEM_RULES 2, DISABLE_DISK_RULES 4, DISABLE_OTHER_RULES 8, PRIMARY_SOURCE 0x40
 * (without the last udev takes the event for a spurious one and reuses the flags of an older).
 */
export const UDEV_NO_PROBING = 0x40 | 0x8 | 0x4 | 0x2
