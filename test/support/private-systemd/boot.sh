#!/usr/bin/env bash
# Boots a systemd in namespaces of its own, in which a service can be installed and run for real. Needs root, util-linux
# and systemd. Of the machine it changes nothing: what it writes to is in SCRATCH (etc, home, opt, var).
#
#   boot.sh SCRATCH REPOSITORY NODE
#
# Inside, the repository is /run/repository and Node is /run/node. Its child is that systemd; it ends with it.
set -eu
scratch=$(realpath "$1") here=$(cd "$(dirname "$0")" && pwd)
# A group of its own in each hierarchy, below the one that systemd sees as the top.
for hierarchy in /sys/fs/cgroup /sys/fs/cgroup/*/; do
  [ -e "$hierarchy/cgroup.procs" ] || continue
  group=$hierarchy/private-systemd-$$
  mkdir "$group" 2>/dev/null && echo $$ >"$group/cgroup.procs" 2>/dev/null || true
done
exec unshare --pid --fork --mount --uts --ipc --cgroup --mount-proc --kill-child \
  bash "$here/inner.sh" "$scratch" "$2" "$3"
