"""Azure's official Python client against the fake, and beside ours: azure_official.py WHAT ...

  all ADDRESS PEM TOKEN_FILE CLIENT_ID SECRET IDENTITY_HEADER    every way to log in, every call, every error
  unwrap ADDRESS KEY VERSION ALGORITHM WRAPPED COMMITMENT BLOB AAD DEK    a stanza that our client made
  wrap ADDRESS KEY VERSION ALGORITHM AAD DEK                      a stanza by docs/reference/format.md, for our client
  assertion JWT CERTIFICATE AUDIENCE CLIENT_ID                    an assertion of ours, by PyJWT

The client speaks to Azure's own names, by https; a transport of ours brings each request to the fake. So everything above the
transport is the client's own: URLs, challenges, scopes, signatures, headers, what it makes of answers. One line for each thing;
the first that differs ends it with an error."""

import os
import sys
from urllib.parse import urlsplit

import requests
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceNotFoundError
from azure.core.pipeline.transport import RequestsTransport
from azure.identity import (
    CertificateCredential,
    ClientSecretCredential,
    CredentialUnavailableError,
    ManagedIdentityCredential,
    WorkloadIdentityCredential,
)
from azure.keyvault.keys.crypto import CryptographyClient, KeyWrapAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

TENANT = "11111111-2222-3333-4444-555555555555"
VAULT, HSM = "https://kv1.vault.azure.net", "https://hsm1.managedhsm.azure.net"
ALGORITHMS = {"RSA-OAEP-256": KeyWrapAlgorithm.rsa_oaep_256, "A256KW": KeyWrapAlgorithm.aes_256}


class ToTheFake(RequestsTransport):
    """Sends what is for Azure to the fake, with the host that it is for."""

    def __init__(self, address):
        super().__init__()
        self.address = address

    def send(self, request, **kwargs):
        url, parts = request.url, urlsplit(request.url)
        request.headers["Host"] = parts.netloc
        request.url = f"http://{self.address}{parts.path}" + (f"?{parts.query}" if parts.query else "")
        try:
            return super().send(request, **kwargs)
        finally:
            request.url = url


class Fake:
    def __init__(self, address):
        self.address = address

    def set(self, name, value):
        assert requests.put(f"http://{self.address}/_fake/{name}", data=value).ok

    def calls(self):
        return requests.get(f"http://{self.address}/_fake/calls").text.split("\n")

    def options(self):
        # No second attempt: what the fake says first is what counts.
        return {"transport": ToTheFake(self.address), "retry_total": 0}

    def key(self, name="mysql", version="", credential=None, base=VAULT):
        credential = credential or ManagedIdentityCredential(**self.options())
        return CryptographyClient(f"{base}/keys/{name}/{version}".rstrip("/"), credential, **self.options())


def tell(what, result):
    print(f"{what}: {result}")


def expect(what, seen, wanted):
    if seen != wanted:
        sys.exit(f"{what}: {seen!r}, not {wanted!r}")
    tell(what, seen)


def fails(what, kind, words, call):
    try:
        call()
    except kind as e:
        text = f"{e} {getattr(e, 'error', '')}".replace("\r", "").replace("\n", " ")
        inner = getattr(getattr(e, "error", None), "innererror", None)
        text += f" {inner}"
        if words not in text:
            sys.exit(f"{what}: the words {words!r} are not in: {text}")
        tell(what, f"{type(e).__name__} with {words!r}")
        return
    sys.exit(f"{what}: it was accepted")


def versions():
    from importlib.metadata import version

    names = ["azure-keyvault-keys", "azure-identity", "azure-core", "msal", "PyJWT", "cryptography"]
    print("versions:", ", ".join(f"{name} {version(name)}" for name in names))


def there_and_back(what, client, algorithm=KeyWrapAlgorithm.rsa_oaep_256, length=256):
    key = os.urandom(32)
    wrapped = client.wrap_key(algorithm, key)
    if len(wrapped.encrypted_key) != length:
        sys.exit(f"{what}: {len(wrapped.encrypted_key)} bytes")
    opened = client.unwrap_key(algorithm, wrapped.encrypted_key)
    expect(what, opened.key == key, True)
    return wrapped


def all_of_it(address, pem, token_file, client_id, secret, identity_header):
    versions()
    fake = Fake(address)
    # Each way to log in, and that the calls were made there: nothing was wrapped by the public key.
    credentials = {
        "managed identity": ManagedIdentityCredential(**fake.options()),
        "certificate": CertificateCredential(TENANT, client_id, pem, **fake.options()),
        "client secret": ClientSecretCredential(TENANT, client_id, secret, **fake.options()),
        "workload identity": WorkloadIdentityCredential(
            tenant_id=TENANT, client_id=client_id, token_file_path=token_file, **fake.options()
        ),
    }
    for name, credential in credentials.items():
        fake.calls()
        there_and_back(f"{name}: wrap and unwrap", fake.key(credential=credential))
        calls = fake.calls()
        for part in ["GET /keys/mysql/ 403", "/wrapkey 200", "/unwrapkey 200"]:
            if not any(part in call for call in calls):
                sys.exit(f"{name}: no {part} in {calls}")
    fake.set("identities", f"{client_id},system")
    named = ManagedIdentityCredential(client_id=client_id, **fake.options())
    there_and_back("managed identity of a client id: wrap and unwrap", fake.key(credential=named))
    os.environ["IDENTITY_ENDPOINT"] = f"http://{address}/msi/token"
    os.environ["IDENTITY_HEADER"] = identity_header
    there_and_back("an app's identity: wrap and unwrap", fake.key(credential=ManagedIdentityCredential(**fake.options())))
    del os.environ["IDENTITY_ENDPOINT"], os.environ["IDENTITY_HEADER"]

    # Keys of other kinds, versions, a Managed HSM.
    there_and_back("RSA of 4,096 bits: wrap and unwrap", fake.key("big"), length=512)
    first = there_and_back("the first version: wrap and unwrap", fake.key())
    fake.set("versions", "2")
    fails(
        "the current version does not unwrap what the one before wrapped",
        HttpResponseError,
        "decoding OAEP padding",
        lambda: fake.key().unwrap_key(KeyWrapAlgorithm.rsa_oaep_256, first.encrypted_key),
    )
    fake.set("versions", "1")
    fake.set("hsm", "yes")
    there_and_back("a Managed HSM by AES: wrap and unwrap", fake.key("aes", base=HSM), KeyWrapAlgorithm.aes_256, 40)
    there_and_back("a Managed HSM by RSA: wrap and unwrap", fake.key(base=HSM))
    fake.set("hsm", "")

    # Each state of a key, and what is refused.
    unwrap = lambda: fake.key().unwrap_key(KeyWrapAlgorithm.rsa_oaep_256, first.encrypted_key)
    wrap = lambda: fake.key().wrap_key(KeyWrapAlgorithm.rsa_oaep_256, b"k" * 32)
    fake.set("state", "disabled")
    expect("a disabled key wraps", len(wrap().encrypted_key), 256)
    fails("a disabled key does not unwrap", HttpResponseError, "KeyDisabled", unwrap)
    for state in ["expired", "not_yet_valid"]:
        fake.set("state", state)
        expect(f"a key that is {state} unwraps", len(unwrap().key), 32)
        fails(f"a key that is {state} does not wrap", HttpResponseError, "not allowed on a", wrap)
    fake.set("state", "deleted")
    fails("a deleted key", ResourceNotFoundError, "KeyNotFound", unwrap)
    fake.set("state", "")
    fails("a key that is not there", ResourceNotFoundError, "KeyNotFound", lambda: there_and_back("x", fake.key("nowhere")))
    fake.set("operations", "sign")
    fails("a key for something else", HttpResponseError, "KeyOperationForbidden", wrap)
    fake.set("operations", "")
    for refusal, words in [
        ("rbac", "ForbiddenByRbac"),
        ("policy", "AccessDenied"),
        ("firewall", "ForbiddenByFirewall"),
        ("connection", "ForbiddenByConnection"),
    ]:
        fake.set("allow", "nothing")
        fake.set("refusal", refusal)
        fails(f"no right: {refusal}", HttpResponseError, words, unwrap)
        fake.set("allow", "")
    altered = bytes([first.encrypted_key[0] ^ 1]) + first.encrypted_key[1:]
    fails(
        "an altered data key",
        HttpResponseError,
        "BadParameter",
        lambda: fake.key().unwrap_key(KeyWrapAlgorithm.rsa_oaep_256, altered),
    )
    fails("another algorithm", HttpResponseError, "algorithm", lambda: fake.key("curve").wrap_key(KeyWrapAlgorithm.rsa_oaep_256, b"k"))
    fake.set("token_life", "-1")
    fails("an expired token", HttpResponseError, "TokenExpired", wrap)
    fake.set("token_life", "")
    fake.set("vault_tenant", "99999999-2222-3333-4444-555555555555")
    fails("a vault of another tenant", HttpResponseError, "AKV10032", wrap)
    fake.set("vault_tenant", "")

    # Logins that are refused.
    scope = VAULT.replace("kv1.", "") + "/.default"
    fake.set("identities", "none")
    fails(
        "no identity",
        CredentialUnavailableError,
        "Identity not found",
        lambda: ManagedIdentityCredential(**fake.options()).get_token(scope),
    )
    fake.set("identities", "")
    login = lambda tenant, client, proof: ClientSecretCredential(tenant, client, proof, **fake.options()).get_token(scope)
    fails("another secret", ClientAuthenticationError, "AADSTS7000215", lambda: login(TENANT, client_id, "x"))
    fails("another application", ClientAuthenticationError, "AADSTS700016", lambda: login(TENANT, TENANT, secret))
    fails("another tenant", ClientAuthenticationError, "AADSTS90002", lambda: login(client_id, client_id, secret))
    fake.set("certificate", "")
    fails(
        "a certificate that nobody knows",
        ClientAuthenticationError,
        "AADSTS700027",
        lambda: CertificateCredential(TENANT, client_id, pem, **fake.options()).get_token(scope),
    )
    fake.set("subject", "another")
    fails(
        "a federated token of another subject",
        ClientAuthenticationError,
        "AADSTS700213",
        lambda: WorkloadIdentityCredential(
            tenant_id=TENANT, client_id=client_id, token_file_path=token_file, **fake.options()
        ).get_token(scope),
    )
    print("all as expected")


def keys_of(data_key):
    """64 bytes: a key for AES-256-GCM, and a commitment to it."""
    derived = HKDF(hashes.SHA256(), 64, None, b"keyring-ward/1 azure_key_vault").derive(data_key)
    return derived[:32], derived[32:]


def client_of(address, key, version, algorithm):
    base = HSM if algorithm == "A256KW" else VAULT
    return Fake(address).key(key, version, base=base), ALGORITHMS[algorithm]


def unwrap(address, key, version, algorithm, *texts):
    wrapped, commitment, blob, aad, dek = (bytes.fromhex(text) for text in texts)
    client, algorithm = client_of(address, key, version, algorithm)
    data_key = client.unwrap_key(algorithm, wrapped).key
    gcm, committed = keys_of(data_key)
    expect("the commitment is that of the data key", committed == commitment, True)
    expect("the DEK is that of the stanza", AESGCM(gcm).decrypt(blob[:12], blob[12:], aad) == dek, True)


def wrap(address, key, version, algorithm, *texts):
    aad, dek = (bytes.fromhex(text) for text in texts)
    client, algorithm = client_of(address, key, version, algorithm)
    data_key, nonce = os.urandom(32), os.urandom(12)
    wrapped = client.wrap_key(algorithm, data_key).encrypted_key
    gcm, commitment = keys_of(data_key)
    print("commitment", commitment.hex())
    print("blob", (nonce + AESGCM(gcm).encrypt(nonce, dek, aad) + wrapped).hex())


def assertion(token, certificate, audience, client_id):
    import base64

    import jwt
    from cryptography import x509

    with open(certificate, "rb") as file:
        certificate = x509.load_pem_x509_certificate(file.read())
    thumbprint = base64.urlsafe_b64encode(certificate.fingerprint(hashes.SHA1())).decode().rstrip("=")
    expect("x5t", jwt.get_unverified_header(token), {"alg": "RS256", "typ": "JWT", "x5t": thumbprint})
    claims = jwt.decode(
        token,
        certificate.public_key(),
        algorithms=["RS256"],
        audience=audience,
        issuer=client_id,
        subject=client_id,
        options={"require": ["aud", "exp", "iat", "iss", "jti", "nbf", "sub"]},
    )
    expect("seconds that it lives", claims["exp"] - claims["nbf"], 600)
    print("the assertion is good")


if __name__ == "__main__":
    {"all": all_of_it, "unwrap": unwrap, "wrap": wrap, "assertion": assertion}[sys.argv[1]](*sys.argv[2:])
