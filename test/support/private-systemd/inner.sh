#!/usr/bin/env bash
# Runs inside the namespaces that boot.sh has created, and becomes systemd.
set -eu
scratch=$1 repository=$2 node=$3
mount --make-rprivate /

umount -R /sys/fs/cgroup 2>/dev/null || umount -l /sys/fs/cgroup
if grep -q '^0::' /proc/self/cgroup && [ "$(wc -l </proc/self/cgroup)" = 1 ]; then
  mount -t cgroup2 cgroup2 /sys/fs/cgroup
else
  mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
  mkdir /sys/fs/cgroup/systemd /sys/fs/cgroup/unified
  mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd
  mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified
  for controller in cpu cpuacct memory pids devices freezer blkio; do
    mkdir "/sys/fs/cgroup/$controller"
    mount -t cgroup -o "$controller" cgroup "/sys/fs/cgroup/$controller" 2>/dev/null ||
      rmdir "/sys/fs/cgroup/$controller"
  done
fi

# Bind mounts keep these paths reachable when the folders below are covered.
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd /run/lock /run/repository /run/scratch
mount --bind "$repository" /run/repository
touch /run/node
mount --bind "$node" /run/node
mount --bind "$scratch" /run/scratch

# Copies the machine's etc without its units and other files that would start something.
cd /run/scratch
mkdir -p etc home opt var/lib var/log var/tmp var/cache
cp -a /etc/. etc/
rm -rf etc/systemd/system etc/init.d etc/rc?.d etc/sysusers.d etc/tmpfiles.d etc/a2a-worker
mkdir -p etc/systemd/system/sockets.target.wants
ln -s /lib/systemd/system/systemd-journald.socket etc/systemd/system/sockets.target.wants/
cat >etc/systemd/system/private-boot.target <<'UNIT'
[Unit]
Description=Private boot for tests
Requires=basic.target
After=basic.target
UNIT
for folder in etc home opt var; do mount --bind "/run/scratch/$folder" "/$folder"; done
for folder in /lib/systemd/system-generators \
  /lib/systemd/system/{sysinit,basic,sockets,timers,multi-user,local-fs,graphical}.target.wants; do
  if [ -d "$folder" ]; then mount -t tmpfs tmpfs "$folder"; fi
done
cd /
export container=unshare
exec /lib/systemd/systemd --system --unit=private-boot.target --log-target=console --show-status=no
