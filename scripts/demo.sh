#!/usr/bin/env bash
# A real, encrypted MySQL in front of you: builds Keyring Ward, starts MySQL 9.7 with it, uses it,
# kills it, shows that everything is still there and that nothing is readable on disk.
#   scripts/demo.sh [--backend BACKEND] [--keks] [--plugin] [--keep]
# --backend pkcs11 puts the keyring under a key on a SoftHSM2 token, aws_kms under a key in a KMS server (LocalStack), vault under one
# in OpenBao; gcp_kms, azure_key_vault, alibaba_kms and oci_vault under one in a fake of that service;
# --keks is a demonstration of its own: a keyring under three KEKs (OpenBao, a KMIP server, a passphrase), one of which is lost while
# the server runs, is away at a restart, and is made good;
# --plugin loads the keyring as a plugin, from my.cnf alone; --keep leaves the server running and prints how to connect.
# Each takes less than a minute; the first one some minutes more, for what it builds and installs.
. "$(dirname "$0")/lib.sh"
keep=no
backend=file role=component
while [ $# -gt 0 ]; do
  case "$1" in
    --keep) keep=yes ;;
    --plugin) role=plugin ;;
    --keks) backend=keks ;;
    --backend) shift; backend=${1:-} ;;
    *) backend= ;;
  esac
  case "$backend" in file | pkcs11 | aws_kms | vault | gcp_kms | azure_key_vault | alibaba_kms | oci_vault | keks) ;; *) wrong_usage ;; esac
  shift
done
is_built || build_library
box_start
demo=demo.sh
case "$backend" in gcp_kms | azure_key_vault | alibaba_kms | oci_vault) fakes_put ;; aws_kms) kms_put ;; vault) bao_put ;; keks) bao_put; kmip_put; demo=demo-keks.sh ;; esac
say "the demonstration, in the box"
box env KW_KEEP=$keep KW_BACKEND=$backend KW_ROLE=$role KW_MOTO="${KMS_MOTO:-}" KW_LOCALSTACK="${KMS_LOCALSTACK:-}" KW_KMIP="${KMIP:-}" \
  bash /kw/mysql-test/harness/$demo
if [ "$keep" = yes ]; then
  trap - EXIT
  [ -z "${KMS_PIDS:-}" ] || note "the KMS servers go on as well: kill $KMS_PIDS"
  [ -z "${KMIP_PID:-}" ] || note "the KMIP server goes on as well: kill -9 -- -$KMIP_PID; rm -rf $KMIP_FOLDER"
  say "the server is still running"
  if has_docker; then
    note "connect:  docker exec -it $BOX mysql -uroot -S /run/mysqld/mysqld.sock"
    note "clean up: docker rm -f -v $BOX"
  else
    note "connect:  chroot $BOX mysql -uroot -S /run/mysqld/mysqld.sock"
    case "$backend" in vault | keks) note "OpenBao goes on as well: kill $(cat "$BOX/tmp/kw-vault/pid")" ;; esac
    note "clean up: chroot $BOX mysqladmin -uroot -S /run/mysqld/mysqld.sock shutdown;" \
      "umount -l $BOX/readonly $BOX/dev $BOX/proc; rm -rf --one-file-system $BOX"
  fi
  exit 0
fi
box_stop
say "done; no server and no container is left"
