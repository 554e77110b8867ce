# Stage 2 of the guest's first process: the root is the overlay now. Starts what the run asked for, sends
# output and exit status through two virtio ports, and switches the machine off.
cd /
umount -l /.vm-host
rmdir /.vm-host
. /run/dm-thin-vm/config.sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

# QEMU's ports have names, and their devices numbers.
port() {
  case $1 in /dev/*) echo "$1"; return ;; esac
  for entry in /sys/class/virtio-ports/*; do
    if [ "$(cat "$entry/name" 2>/dev/null)" = "$1" ]; then
      echo "/dev/${entry##*/}"
      return
    fi
  done
}
out=$(port "$VM_OUT")
ctl=$(port "$VM_CONTROL")
if [ "$VM_MACHINE" = uml ]; then
  exec 8<>"$out" # a terminal forgets its settings when nobody has it open
  stty -F "$out" raw -echo
fi
exec 9<>"$ctl"
[ "$VM_MACHINE" != uml ] || stty -F "$ctl" raw -echo

ln -sf /proc/self/fd /dev/fd
ln -sf fd/0 /dev/stdin
ln -sf fd/1 /dev/stdout
ln -sf fd/2 /dev/stderr
hostname dm-thin-guest 2>/dev/null
ip link set lo up 2>/dev/null
# User-Mode Linux (6.12 and 7.2) panics after a process that has memory of io_uring, as every Node after 20 has, forks.
# Node asks for no io_uring if the kernel refuses it; UV_USE_IO_URING=0 does not keep it from asking.
if [ "$VM_MACHINE" = uml ]; then echo 2 >/proc/sys/kernel/io_uring_disabled; fi
# The boot stays quiet; from here on the kernel's messages belong in the console log.
echo 7 >/proc/sys/kernel/printk

if [ "$VM_UDEV" = 1 ]; then
  mkdir -p /run/udev
  /usr/lib/systemd/systemd-udevd --daemon
  # Of hundreds of terminals nothing is to be known.
  udevadm trigger --subsystem-nomatch=tty
  udevadm settle
fi
echo ready >&9

# Shortly before the harness ends a hung guest: who is there, and where blocked tasks wait, for its console.
(
  exec 9>&-
  sleep $((VM_DEADLINE - $(date +%s) - 4)) || exit
  ps --ppid 2 -p 2 --deselect -o pid,stat,wchan:24,args >"$VM_CONSOLE" 2>&1
  echo w >/proc/sysrq-trigger
) &

status=0
if [ "$VM_HAS_COMMAND" = 1 ]; then
  # A pipe rather than the port itself: only one process at a time may open a virtio port, and programs do
  # open /dev/stdout and /dev/stderr anew.
  mkfifo /run/dm-thin-vm/out
  cat </run/dm-thin-vm/out >"$out" 9>&- &
  cat=$!
  setsid /bin/sh /run/dm-thin-vm/command.sh </dev/null >/run/dm-thin-vm/out 2>&1 9>&- &
  command=$!
  # wait reports a signal to this shell's children as status too; nothing signals this shell itself.
  wait $command
  status=$?
  # A daemon left behind by the command may hold the pipe open for ever.
  (sleep 2; kill $cat) 2>/dev/null 9>&- &
  wait $cat
  # Returns when the terminal has sent all.
  [ "$VM_MACHINE" != uml ] || stty -F "$out" raw
fi

if [ "$VM_KEEP" = 1 ]; then
  echo shell >&9
  stty -F "$VM_SHELL" sane rows "$VM_ROWS" cols "$VM_COLUMNS"
  sed 's/^exec .*/exec bash -i/' /run/dm-thin-vm/command.sh >/run/dm-thin-vm/shell.sh
  setsid -c /bin/sh /run/dm-thin-vm/shell.sh <"$VM_SHELL" >"$VM_SHELL" 2>&1 9>&-
fi

# Only the work tree reaches the host. A plain sync could wait for ever on a suspended device.
timeout 10 sync -f "$VM_TREE"
echo "exit $status" >&9
sleep 1
echo o >/proc/sysrq-trigger
sleep 60
