# Google Cloud KMS with a real account. Sourced.
#
# An operator must have, and name in the environment:
#   KW_REAL_GCP_KEY          a key for symmetric encryption: projects/P/locations/L/keyRings/R/cryptoKeys/K. Nothing is made, and no
#                            version is changed: only encrypt and decrypt are called (a few calls; Google bills them per 10,000)
#   KW_REAL_GCP_AUTH         metadata (on a machine of Google's; the default), federation or service_account
#   KW_REAL_GCP_CREDENTIALS  the file of federation or service_account: absolute, readable for this account, 0600 for a key
#   KW_REAL_GCP_ENDPOINT     another endpoint than https://cloudkms.googleapis.com (optional)
# and whoever logs in so needs roles/cloudkms.cryptoKeyEncrypterDecrypter on the key. With metadata on Compute Engine the machine's
# access scopes must have cloud-platform or cloudkms.

# The options, as my.cnf has them, without the path.
real_options() {
  printf 'gcp_kms_key=%s\n' "${KW_REAL_GCP_KEY:?a key: projects/P/locations/L/keyRings/R/cryptoKeys/K}"
  printf 'gcp_kms_auth=%s\n' "${KW_REAL_GCP_AUTH:-metadata}"
  if [ -n "${KW_REAL_GCP_CREDENTIALS:-}" ]; then printf 'gcp_kms_credentials_file=%s\n' "$KW_REAL_GCP_CREDENTIALS"; fi
  if [ -n "${KW_REAL_GCP_ENDPOINT:-}" ]; then printf 'gcp_kms_endpoint=%s\n' "$KW_REAL_GCP_ENDPOINT"; fi
}
