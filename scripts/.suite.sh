. "$(dirname "$0")/lib.sh"
build_library
box_start
kms_put
box env KW_BACKEND=aws_kms KW_MOTO="$KMS_MOTO" KW_PARALLEL=1 bash /kw/mysql-test/harness/mtr.sh all
box_stop
