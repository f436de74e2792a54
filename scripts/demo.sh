#!/usr/bin/env bash
# A real, encrypted MySQL in front of you: builds Keyring Ward, starts MySQL 9.7 with it, uses it,
# kills it, shows that everything is still there and that nothing is readable on disk.
# --keep leaves the server running and prints how to connect.
. "$(dirname "$0")/lib.sh"
keep=no
case "${1:-}" in
  --keep) keep=yes ;;
  '') ;;
  *) echo "usage: scripts/demo.sh [--keep]"; exit 2 ;;
esac
build_library
box_start
say "the demonstration, in the box"
box env KW_KEEP=$keep bash /kw/mysql-test/harness/demo.sh
if [ "$keep" = yes ]; then
  trap - EXIT
  say "the server is still running"
  if has_docker; then
    note "connect:  docker exec -it $BOX mysql -uroot -S /run/mysqld/mysqld.sock"
    note "clean up: docker rm -f -v $BOX"
  else
    note "connect:  chroot $BOX mysql -uroot -S /run/mysqld/mysqld.sock"
    note "clean up: chroot $BOX mysqladmin -uroot -S /run/mysqld/mysqld.sock shutdown;" \
      "umount -l $BOX/readonly $BOX/dev $BOX/proc; rm -rf --one-file-system $BOX"
  fi
  exit 0
fi
box_stop
say "done; no server and no container is left"
