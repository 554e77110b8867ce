#!/bin/sh
# The guest's first process. The harness copies it beside config.sh and guest.sh into a folder that the guest
# sees through its read-only root, and names it on the kernel's command line as init.
#
# Stage 1 (this file): the host's root file system comes in read-only. Lay a throw-away overlay over it, put
# the work tree back in its place as a writable share, make the overlay the root, and go on with guest.sh.
run=${0%/*}
. "$run/config.sh"
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
if [ -n "$VM_TOOLS" ]; then
  # Until the overlay is the root, programs that the machine has not installed are found where they were unpacked.
  export PATH="$PATH:$VM_TOOLS/usr/sbin:$VM_TOOLS/usr/bin"
  export LD_LIBRARY_PATH="$VM_TOOLS/usr/lib/$(uname -m)-linux-gnu"
fi

fail() {
  echo "guest init: $*" >/dev/kmsg
  echo o >/proc/sysrq-trigger
  sleep 10
  exit 1
}

# A folder of the host, by the name of its share or by its path.
share() {
  if [ "$VM_MACHINE" = uml ]; then
    mount -t hostfs -o "hostfs=$2" none "$3"
  else
    mount -t virtiofs "$1" "$3"
  fi
}

mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2>/dev/null # the kernel may have mounted it already

# Modules that a kernel was built without, or with built in, are passed over (-q).
modprobe -d "$VM_KERNEL_DIR" -aq $VM_MODULES

# /sys/fs/fuse always exists in this kernel, and the mount point need not exist on the host for anything else.
mount -t tmpfs tmpfs /mnt || fail 'no tmpfs'
mkdir /mnt/upper /mnt/work /mnt/root /mnt/tools
# A file system of its own: a layer of an overlay may not lie within another layer.
lower=/
if [ -n "$VM_TOOLS" ]; then
  share tools "$VM_TOOLS" /mnt/tools || fail 'the unpacked packages cannot be mounted'
  lower=/mnt/tools:/
fi
# Without "announce submounts" off in virtiofsd, look-ups below the host's mount points would fail here.
mount -t overlay -o "lowerdir=$lower,upperdir=/mnt/upper,workdir=/mnt/work" overlay /mnt/root || fail 'no overlay'

new=/mnt/root
mkdir -p $new/proc $new/sys $new/dev $new/run $new/tmp
mount --move /proc $new/proc
mount --move /sys $new/sys
mount --move /dev $new/dev
mkdir -p $new/dev/shm $new/dev/pts
mount -t tmpfs -o mode=1777 tmpfs $new/dev/shm
mount -t devpts -o mode=620,ptmxmode=666 devpts $new/dev/pts
mount -t tmpfs -o mode=755 tmpfs $new/run
mount -t tmpfs -o mode=1777 tmpfs $new/tmp
mkdir -p $new/run/lock $new/run/dm-thin-vm
# An ordinary user's guest cannot read root's home.
[ "$VM_OWN_HOME" = 0 ] || mount -t tmpfs tmpfs $new/root
if [ -n "$VM_PRELOAD" ]; then
  cp "$VM_PRELOAD" $new/usr/lib/dm-thin-cheaper-calls.so
  echo /usr/lib/dm-thin-cheaper-calls.so >$new/etc/ld.so.preload
fi
cp "$run/config.sh" "$run/guest.sh" "$run/command.sh" $new/run/dm-thin-vm/

# After /tmp and /run, for the work tree may lie below either of them.
mkdir -p "$new$VM_TREE"
share worktree "$VM_TREE" "$new$VM_TREE" || fail 'the work tree cannot be mounted'

release=$(uname -r)
mkdir -p "$new/usr/lib/modules/$release"
mount --bind "$VM_KERNEL_DIR/lib/modules/$release" "$new/usr/lib/modules/$release"

mkdir $new/.vm-host
cd $new || fail 'no new root'
pivot_root . .vm-host || fail 'no pivot_root'
unset LD_LIBRARY_PATH
exec chroot . /bin/sh /run/dm-thin-vm/guest.sh </dev/null >/dev/null 2>&1
