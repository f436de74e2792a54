# The provider oci_vault against a real vault of Oracle Cloud Infrastructure. Sourced by scripts/real-cloud.sh.
#
# An operator must have
# - a vault, and in it a key for AES of 32 bytes that nothing else depends on. This makes, changes and deletes nothing
#   there; each run asks for a few data keys. Keys of protection mode SOFTWARE cost nothing; for HSM keys Oracle's price
#   list decides.
# - either a user with an API signing key without a passphrase (RSA, 2,048 bits or more), in a group for which a policy says
#     Allow group NAME to use keys in compartment NAME where target.key.id = 'OCID of the key'
#   or this script on an instance in a dynamic group with the same policy (Allow dynamic-group NAME to use keys …).
# - a clock that is right within five minutes.
#
# Environment:
#   KW_REAL_OCI_CRYPTO_ENDPOINT  https://PREFIX-crypto.kms.REGION.oraclecloud.com (oci kms management vault get)
#   KW_REAL_OCI_KEY              the OCID of the key (oci kms management key list)
#   KW_REAL_OCI_TENANCY, KW_REAL_OCI_USER, KW_REAL_OCI_FINGERPRINT, KW_REAL_OCI_KEY_FILE
#                                of the user's key; where none of them is set, the instance itself is asked for
#   KW_REAL_OCI_FEDERATION       only where the login is elsewhere than the vault's name says

# The flat options, a line each.
real_options() {
  : "${KW_REAL_OCI_CRYPTO_ENDPOINT:?the cryptographic endpoint of the vault}" "${KW_REAL_OCI_KEY:?the OCID of the key}"
  echo "oci_vault_crypto_endpoint=$KW_REAL_OCI_CRYPTO_ENDPOINT"
  echo "oci_vault_key_ocid=$KW_REAL_OCI_KEY"
  if [ -z "${KW_REAL_OCI_TENANCY:-}${KW_REAL_OCI_USER:-}${KW_REAL_OCI_FINGERPRINT:-}${KW_REAL_OCI_KEY_FILE:-}" ]; then
    if [ -n "${KW_REAL_OCI_FEDERATION:-}" ]; then echo "oci_vault_federation_endpoint=$KW_REAL_OCI_FEDERATION"; fi
    return
  fi
  : "${KW_REAL_OCI_TENANCY:?the OCID of the tenancy}" "${KW_REAL_OCI_USER:?the OCID of the user}" \
    "${KW_REAL_OCI_FINGERPRINT:?the fingerprint of the key}" "${KW_REAL_OCI_KEY_FILE:?the file with the key}"
  echo "oci_vault_auth=user_key"
  echo "oci_vault_tenancy_ocid=$KW_REAL_OCI_TENANCY"
  echo "oci_vault_user_ocid=$KW_REAL_OCI_USER"
  echo "oci_vault_fingerprint=$KW_REAL_OCI_FINGERPRINT"
  echo "oci_vault_private_key_file=$KW_REAL_OCI_KEY_FILE"
}
