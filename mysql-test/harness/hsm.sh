# PKCS#11 modules and tokens in the box. Sourced. Each module has a function use_MODULE that makes a token with the
# label "ward" and sets MODULE; the tokens belong to the account mysql. PIN and PIN file are the same for all.

HSM=/var/cache/kw-hsm
PIN=11112222
SHIM=/kw/target/debug/examples/libp11_shim.so
SOFTHSM=/usr/lib/softhsm/libsofthsm2.so
OPENCRYPTOKI=/usr/lib/x86_64-linux-gnu/opencryptoki/libopencryptoki.so.0
P11_CLIENT=/usr/lib/x86_64-linux-gnu/pkcs11/p11-kit-client.so
KRYOPTIC=/kw/modules/libkryoptic_pkcs11.so

as_mysql() { setpriv --reuid mysql --regid mysql --init-groups env HOME=/var/lib/mysql-home "$@"; }

# An empty place for tokens; the PIN file lies with the keyring.
hsm_reset() {
  hsm_off
  rm -rf $HSM; mkdir -p $HSM/tokens; chown -R mysql:mysql $HSM; chmod 750 $HSM
  unset P11_KIT_SERVER_ADDRESS
}
pin_file() { # pin_file [PIN]
  rm -f "$KEYS/pin"
  (umask 077; printf '%s\n' "${1-$PIN}" > "$KEYS/pin"); chown mysql:mysql "$KEYS/pin"
}

use_softhsm() {
  MODULE=$SOFTHSM
  printf 'directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n' $HSM/tokens > $HSM/softhsm2.conf
  export SOFTHSM2_CONF=$HSM/softhsm2.conf
  as_mysql softhsm2-util --init-token --free --label ward --so-pin 12345678 --pin $PIN >/dev/null
}

# SoftHSM2 behind a socket: an HSM that can be switched off.
use_p11kit() {
  use_softhsm; MODULE=$P11_CLIENT
  export P11_KIT_SERVER_ADDRESS=unix:path=$HSM/socket
  hsm_on
}
hsm_on() { # p11-kit's server goes to the background itself; its processes end with hsm_off
  rm -f $HSM/socket
  as_mysql p11-kit server --provider $SOFTHSM -n $HSM/socket pkcs11: > $HSM/p11-env
  HSM_SERVER=$(sed -n 's/^P11_KIT_SERVER_PID=\([0-9]*\).*/\1/p' $HSM/p11-env)
  wait_for 10 test -S $HSM/socket
}
hsm_off() {
  local pid
  for pid in $(pgrep -f -- '--provider .* -n .* pkcs11:'); do
    if [ "/proc/$pid/root" -ef / ]; then kill -9 "$pid" 2>/dev/null || true; fi
  done
  rm -f $HSM/socket
}

use_opencryptoki() {
  MODULE=$OPENCRYPTOKI
  local folder
  usermod -aG pkcs11 mysql; usermod -aG pkcs11 root
  mkdir -p /run/opencryptoki /run/lock/opencryptoki /var/log/opencryptoki
  for folder in swtok lite ccatok ep11tok icsf tpm; do mkdir -p /run/lock/opencryptoki/$folder /var/lib/opencryptoki/$folder; done
  chgrp -R pkcs11 /var/lib/opencryptoki /run/lock/opencryptoki /var/log/opencryptoki
  chmod -R g+rwX /var/lib/opencryptoki /run/lock/opencryptoki /var/log/opencryptoki
  chown pkcsslotd:pkcs11 /run/opencryptoki; chmod 710 /run/opencryptoki
  pgrep -x pkcsslotd >/dev/null || pkcsslotd
  wait_for 10 test -S /run/opencryptoki/pkcsslotd.socket
  # The SO PIN is changed once only: a token that was initialised before keeps it.
  pkcsconf -P -c 3 -S 87654321 -n 12345678 >/dev/null 2>&1 || true
  as_mysql pkcs11-tool --module $MODULE --slot 3 --init-token --label ward --so-pin 12345678 >/dev/null 2>&1
  as_mysql pkcs11-tool --module $MODULE --slot 3 --login --login-type so --so-pin 12345678 --init-pin --new-pin $PIN >/dev/null 2>&1
}

use_kryoptic() {
  MODULE=$KRYOPTIC
  printf '[[slots]]\nslot = 7\ndbtype = "sqlite"\ndbargs = "%s"\n' $HSM/kryoptic.sql > $HSM/kryoptic.conf
  export KRYOPTIC_CONF=$HSM/kryoptic.conf
  as_mysql pkcs11-tool --module $MODULE --slot 7 --init-token --label ward --so-pin 12345678 >/dev/null 2>&1
  as_mysql pkcs11-tool --module $MODULE --slot 7 --login --login-type so --so-pin 12345678 --init-pin --new-pin $PIN >/dev/null 2>&1
}

# Puts the shim before the module: it counts calls into $HSM/calls and reads faults from $HSM/faults.
use_shim() {
  export P11_SHIM_MODULE=$MODULE P11_SHIM_LOG=$HSM/calls P11_SHIM_CONTROL=$HSM/faults
  MODULE=$SHIM
  : > $HSM/calls; : > $HSM/faults; chown mysql:mysql $HSM/calls $HSM/faults; chmod 666 $HSM/calls
}
faults() { printf '%s\n' "$@" > $HSM/faults; }
calls() { grep -c "^C_$1\$" $HSM/calls || true; }

# pkcs11_config [MEMBER…]: the component's configuration, with more members of "pkcs11".
pkcs11_config() {
  local more=; for member; do more="$more, $member"; done
  echo "{ \"backend\": \"pkcs11\", \"path\": \"$KEYS/keyring.ward\", \"start_timeout\": ${START_TIMEOUT:-20}, \"timeout\": 5,
    \"pkcs11\": { \"module\": \"$MODULE\", \"token_label\": \"ward\", \"key_label\": \"kek\", \"pin_file\": \"$KEYS/pin\" $more } }" > "$CONFIG"
}
