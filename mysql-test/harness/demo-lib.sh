# What the demonstrations share: how a step is shown and checked. Sourced after server.sh.
ROLE=${KW_ROLE:-component} FIRST=--no-defaults

step() { printf '\n--- %s\n' "$*"; }
# Why the reader looks at what follows.
why() { printf '    %s\n' "$@"; }
show() { echo "mysql> $1"; mysql -uroot -S "$SOCKET" --table -e "$1"; }
# A command, as the reader would type it.
run() { echo "# $*"; "$@"; }
expect() { [ "$2" = "$3" ] || fail "$1: expected '$3', got '$2'"; echo "ok: $1"; }

# keep_serving OPTION…: with --keep, a server that goes on when this script has ended.
keep_serving() {
  [ "${KW_KEEP:-no}" = yes ] || return 0
  # shellcheck disable=SC2086  # may be empty
  nohup setsid mysqld $FIRST --user=mysql --datadir=$DATA --socket=$SOCKET \
    --pid-file=/run/mysqld/mysqld.pid --skip-networking --log-error=$LOG "$@" >/dev/null 2>&1 &
  wait_for 60 mysqladmin -uroot -S $SOCKET ping || fail "the server did not start"
}
