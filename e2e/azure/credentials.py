"""Makes what principals log in with, and a key to import: `credentials.py FOLDER ISSUER SUBJECT AUDIENCE`.

Leaves in the folder: certificate.pem (public), certificate-and-key.pem (as `az login --certificate` wants it), jwks.json
(the public keys of an issuer), token.jwt (signed by it, good for an hour), stale.jwt (good until an hour ago), and
import.pem (an RSA key).
"""

import base64
import datetime
import json
import pathlib
import sys

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

KEY_ID = "key-1"


def new_key():
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def private_pem(key):
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def certificate(key, now):
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
    return builder.not_valid_after(now + datetime.timedelta(days=1)).sign(key, hashes.SHA256())


def base64url(number):
    data = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def key_set(key):
    public = key.public_key().public_numbers()
    entry = {"kty": "RSA", "kid": KEY_ID, "use": "sig", "alg": "RS256"}
    return {"keys": [entry | {"n": base64url(public.n), "e": base64url(public.e)}]}


def token(key, issuer, subject, audience, issued):
    claims = {"iss": issuer, "sub": subject, "aud": audience, "iat": issued, "nbf": issued, "exp": issued + 3600}
    return jwt.encode(claims, key, algorithm="RS256", headers={"kid": KEY_ID})


def main():
    folder, issuer, subject, audience = pathlib.Path(sys.argv[1]), *sys.argv[2:5]
    now = datetime.datetime.now(datetime.timezone.utc)
    seconds = int(now.timestamp())

    client = new_key()
    public = certificate(client, now).public_bytes(serialization.Encoding.PEM)
    (folder / "certificate.pem").write_bytes(public)
    (folder / "certificate-and-key.pem").write_bytes(private_pem(client) + public)

    signer = new_key()
    (folder / "jwks.json").write_text(json.dumps(key_set(signer)))
    (folder / "token.jwt").write_text(token(signer, issuer, subject, audience, seconds))
    (folder / "stale.jwt").write_text(token(signer, issuer, subject, audience, seconds - 7200))

    (folder / "import.pem").write_bytes(private_pem(new_key()))


main()
