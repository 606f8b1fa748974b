#!/usr/bin/env bash
# Boots a systemd in its own namespaces, in which tests install and run a real service. Needs root, util-linux and
# systemd. It does not change the machine: everything it writes is in SCRATCH (etc, home, opt, var).
#
#   boot.sh SCRATCH REPOSITORY NODE
#
# Inside, the repository is /run/repository and Node is /run/node. The child of this process is that systemd.
set -eu
scratch=$(realpath "$1") here=$(cd "$(dirname "$0")" && pwd)
# Its own control group in each hierarchy, as the top group of that systemd.
for hierarchy in /sys/fs/cgroup /sys/fs/cgroup/*/; do
  [ -e "$hierarchy/cgroup.procs" ] || continue
  group=$hierarchy/private-systemd-$$
  mkdir "$group" 2>/dev/null && echo $$ >"$group/cgroup.procs" 2>/dev/null || true
done
exec unshare --pid --fork --mount --uts --ipc --cgroup --mount-proc --kill-child \
  bash "$here/inner.sh" "$scratch" "$2" "$3"
