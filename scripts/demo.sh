#!/usr/bin/env bash
# A real, encrypted MySQL in front of you: builds Keyring Ward, starts MySQL 9.7 with it, uses it,
# kills it, shows that everything is still there and that nothing is readable on disk.
#   scripts/demo.sh [--backend file|pkcs11|aws_kms|vault] [--plugin] [--keep]
# --backend pkcs11 puts the keyring under a key on a SoftHSM2 token, aws_kms under a key in a KMS server (LocalStack), vault under one
# in OpenBao;
# --plugin loads the keyring as a plugin, from my.cnf alone; --keep leaves the server running and prints how to connect.
. "$(dirname "$0")/lib.sh"
keep=no
backend=file role=component
while [ $# -gt 0 ]; do
  case "$1" in
    --keep) keep=yes ;;
    --plugin) role=plugin ;;
    --backend) shift; backend=${1:-} ;;
    *) backend= ;;
  esac
  case "$backend" in file | pkcs11 | aws_kms | vault) ;; *) wrong_usage ;; esac
  shift
done
build_library
box_start
case "$backend" in aws_kms) kms_put ;; vault) bao_put ;; esac
say "the demonstration, in the box"
box env KW_KEEP=$keep KW_BACKEND=$backend KW_ROLE=$role KW_MOTO="${KMS_MOTO:-}" KW_LOCALSTACK="${KMS_LOCALSTACK:-}" bash /kw/mysql-test/harness/demo.sh
if [ "$keep" = yes ]; then
  trap - EXIT
  [ -z "${KMS_PIDS:-}" ] || note "the KMS servers go on as well: kill $KMS_PIDS"
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
