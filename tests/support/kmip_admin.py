"""What an administrator of a KMIP server does, by PyKMIP's own client, for tests/contract_kmip.rs and the server tests.

    kmip_admin.py certificates FOLDER NAME…     an authority, a server's certificate for NAME…, and clients' (one, two)
    kmip_admin.py serve FOLDER HOST PORT        the server with these certificates and an empty database; PORT 0: any, which
                                           is in FOLDER/port then
    kmip_admin.py keys FOLDER HOST              says "ready PORT" when the server answers; then takes commands from standard
                                           input, a line each, and answers with one:
        create [MASK…]  → identifier            activate ID, revoke ID, destroy ID → ok
        open ID FILE_ID PARAMS COMMITMENT BLOB → the part of the DEK: a stanza of the provider kmip, read as
                                           docs/reference/format.md has it, with the key itself and other code than ours
All binary values are hexadecimal. An answer that begins with "error" is one.
"""
import datetime
import ipaddress
import os
import socket
import sys
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes, padding, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


def certificates(folder, *names):
    def name(text):
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    def write(file, data):
        with open(os.open(os.path.join(folder, file), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
            out.write(data)

    now = datetime.datetime.now(datetime.timezone.utc)
    # PyKMIP speaks TLS 1.2 with suites that want a key on an elliptic curve.
    authority = ec.generate_private_key(ec.SECP256R1())

    def certificate(subject, key, *extensions):
        made = (
            x509.CertificateBuilder().subject_name(name(subject)).issuer_name(name("Keyring Ward test authority"))
            .public_key(key.public_key()).serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1)).not_valid_after(now + datetime.timedelta(days=2)))
        for extension, critical in extensions:
            made = made.add_extension(extension, critical)
        return made.sign(authority, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def pair(file, subject, *extensions):
        key = ec.generate_private_key(ec.SECP256R1())
        write(file + ".key", key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        write(file + ".pem", certificate(subject, key, *extensions))

    def alternative(text):
        try:
            return x509.IPAddress(ipaddress.ip_address(text))
        except ValueError:
            return x509.DNSName(text)

    os.makedirs(folder, exist_ok=True)
    write("ca.pem", certificate("Keyring Ward test authority", authority, (x509.BasicConstraints(True, None), True)))
    pair("server", names[0], (x509.SubjectAlternativeName([alternative(n) for n in names]), False))
    usage = (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False)
    pair("one", "one", usage)
    pair("two", "two", usage)


def serve(folder, host, port):
    from kmip.services.server import KmipServer
    policies = os.path.join(folder, "policies")
    os.makedirs(policies, exist_ok=True)
    database = os.path.join(folder, "database")
    # Found here and not by who starts it: what a process of many threads has opened, its children may hold for a while.
    with socket.socket() as probe:
        probe.bind((host, int(port)))
        port = probe.getsockname()[1]
    with open(os.path.join(folder, "port.new"), "w") as out:
        out.write(str(port))
    os.rename(out.name, os.path.join(folder, "port"))
    server = KmipServer(
        hostname=host, port=port, config_path=None, policy_path=policies, auth_suite="TLS1.2",
        certificate_path=os.path.join(folder, "server.pem"), key_path=os.path.join(folder, "server.key"),
        ca_path=os.path.join(folder, "ca.pem"), log_path=os.path.join(folder, "log"), database_path=database,
        enable_tls_client_auth=True, logging_level="INFO")
    with server:
        server.serve()


class Keys:
    def __init__(self, folder, host, port):
        from kmip.pie.client import ProxyKmipClient
        self.client = ProxyKmipClient(
            hostname=host, port=port, cert=os.path.join(folder, "one.pem"), key=os.path.join(folder, "one.key"),
            ca=os.path.join(folder, "ca.pem"), config="client", config_file=os.devnull)

    def create(self, *masks):
        from kmip.core import enums
        from kmip.pie.objects import SymmetricKey
        if not masks:
            return self.client.create(enums.CryptographicAlgorithm.AES, 256)
        # The client's create has Encrypt and Decrypt always.
        masks = [enums.CryptographicUsageMask[m] for m in masks]
        return self.client.register(SymmetricKey(enums.CryptographicAlgorithm.AES, 256, os.urandom(32), masks=masks))

    def activate(self, key):
        self.client.activate(key)

    def revoke(self, key):
        from kmip.core import enums
        self.client.revoke(enums.RevocationReasonCode.CESSATION_OF_OPERATION, key)

    def destroy(self, key):
        self.client.destroy(key)

    def open(self, key, file_id, params, commitment, blob):
        file_id, params, commitment, blob = (bytes.fromhex(v) for v in (file_id, params, commitment, blob))
        name, kek = key.encode(), self.client.get(key).value
        wrapped, sealed = blob[:60], blob[60:]
        iv, rest = sealed[1:1 + sealed[0]], sealed[1 + sealed[0]:]
        if params == b"\x09":
            data_key = AESGCM(kek).decrypt(iv, rest, b"keyring-ward/1 kmip" + file_id)
        else:
            decryptor = Cipher(algorithms.AES(kek), modes.CBC(iv)).decryptor()
            unpadder = padding.PKCS7(128).unpadder()
            data_key = unpadder.update(decryptor.update(rest) + decryptor.finalize()) + unpadder.finalize()
        derived = HKDF(hashes.SHA256(), 64, None, b"keyring-ward/1 kmip").derive(data_key)
        if derived[32:] != commitment:
            return "error the commitment is another one"
        fields = [b"kmip", b"data-key+aes-256-gcm", name, bytes([0, 0, 1]), params]
        associated = b"keyring-ward/1 stanza" + file_id
        associated += b"".join(len(f).to_bytes(4, "little") + f for f in fields)
        return AESGCM(derived[:32]).decrypt(wrapped[:12], wrapped[12:], associated).hex()


def wait_for(what):
    """Until `what` raises no OSError, at most a minute."""
    end = time.monotonic() + 60
    while True:
        try:
            return what()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def keys(folder, host):
    def port():
        with open(os.path.join(folder, "port")) as found:
            return int(found.read())

    admin = Keys(folder, host, wait_for(port))

    def answers():
        with admin.client:
            pass

    wait_for(answers)
    print("ready", port(), flush=True)
    for line in sys.stdin:
        command, *arguments = line.split()
        try:
            with admin.client:
                answer = getattr(admin, command)(*arguments)
        except Exception as e:
            answer = "error %s: %s" % (type(e).__name__, e)
        print(answer or "ok", flush=True)


if __name__ == "__main__":
    {"certificates": certificates, "serve": serve, "keys": keys}[sys.argv[1]](*sys.argv[2:])
