#!/usr/bin/env bash
# The durability experiments of docs/proof/durability.md, ours and the stock component beside each other.
#   scripts/torture.sh [--quick] [PART…]
# Parts: syscalls powercut life rotation tears older control servercut serverfaults kill full copies replaced twoservers bitrot (all unless named).
# It needs root: file systems are mounted from files and ended by ioctl. It runs in a root file system
# of its own under mysql-test/.work, never in Docker, and leaves neither server nor mount behind.
. "$(dirname "$0")/lib.sh"
export KW_NO_DOCKER=1
QUICK=() PARTS=()
for argument; do
  case "$argument" in
    --quick) QUICK=(--quick) ;;
    syscalls | powercut | life | rotation | tears | older | control | servercut | serverfaults | kill | full | copies | replaced | twoservers | bitrot) PARTS+=("$argument") ;;
    *) wrong_usage ;;
  esac
done
[ ${#PARTS[@]} -gt 0 ] || PARTS=(syscalls powercut life rotation tears older control servercut serverfaults kill full copies replaced twoservers bitrot)
build_library
say "building the writer and the judge"
(cd "$REPO" && cargo build --locked --example torture)
box_start
box_put "$REPO" target/debug/examples/torture
say "installing file system tools in the box"
box sh -c 'apt-get -qq -o Acquire::Check-Valid-Until=false update >/dev/null; DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends e2fsprogs xfsprogs btrfs-progs rsync borgbackup >/dev/null'
say "torture: ${PARTS[*]} ${QUICK[*]}"
rc=0
# With mounts of its own: a mount namespace that anybody on this machine makes meanwhile would keep a file system that was ended
# alive, and mounting it again would give the ended one.
as_root unshare --mount chroot "$BOX" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 HOME=/root SEED="${SEED:-}" \
  KEYRINGS="${KEYRINGS:-}" SIZES="${SIZES:-}" bash /kw/mysql-test/harness/torture.sh "${QUICK[@]}" "${PARTS[@]}" || rc=$?
box_stop
exit $rc
