# Two keyrings to choose from, ours and the stock component, for torture.sh and bench.sh. Sourced.
. /kw/mysql-test/harness/server.sh
T=/kw/target/debug/examples/torture
STOCK=$PLUGINS/component_keyring_file.cnf
keyring_file() { case $1 in ward) echo "$2/keyring.ward" ;; file) echo "$2/stock" ;; esac; }
# use_keyring ward|file [FOLDER]: configures it; the folder belongs to mysql.
use_keyring() {
  local folder=${2:-$KEYS}
  rm -f "$CONFIG" "$STOCK"
  mkdir -p "$folder"; chown mysql:mysql "$folder"
  case $1 in
    ward)
      echo '{ "components": "file://component_keyring_ward" }' > $MANIFEST
      if [ ! -e $KEYS/kek ]; then (umask 077; head -c 32 /dev/urandom > $KEYS/kek); chown mysql:mysql $KEYS/kek; fi
      echo "{ \"backend\": \"file\", \"path\": \"$folder/keyring.ward\", \"file\": { \"key_file\": \"$KEYS/kek\" } }" > $CONFIG ;;
    file)
      echo '{ "components": "file://component_keyring_file" }' > $MANIFEST
      echo "{ \"path\": \"$folder/stock\", \"read_only\": false }" > $STOCK
      # The stock component can't create its file as mysql when the server starts as root.
      [ -e "$folder/stock" ] || { (umask 077; : > "$folder/stock"); chown mysql:mysql "$folder/stock"; } ;;
  esac
}
