"""A private certificate authority for tests, made with the openssl command."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.third_party import skips_are_failures

#: The password of keys that have one.
PASSWORD = "planted-key-password"


@dataclass(frozen=True)
class Authority:
    """A private CA in a folder."""

    openssl: str
    folder: Path

    @classmethod
    def make(cls, folder: Path) -> Authority:
        """Make the authority, or skip the test (in CI, fail it) where openssl is missing."""
        openssl = shutil.which("openssl")
        if openssl is None:
            reason = "the openssl command makes the certificates for these tests, and it is not installed"
            if skips_are_failures():
                pytest.fail(reason)
            pytest.skip(reason)
        made = cls(openssl, folder)
        made.call("genpkey", "-algorithm", "RSA", "-out", "ca.key")
        made.call(
            *("req", "-x509", "-key", "ca.key", "-subj", "/CN=private CA", "-days", "2", "-out", "ca.pem"),
            *("-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=keyCertSign"),
        )
        return made

    @property
    def trusted(self) -> Path:
        """The certificate of the authority itself."""
        return self.folder / "ca.pem"

    def call(self, *arguments: str) -> None:
        """Run openssl in the folder."""
        subprocess.run(
            [self.openssl, *arguments],
            check=True,
            capture_output=True,
            timeout=60,
            cwd=self.folder,
            env={**os.environ, "OPENSSL_CONF": os.devnull},
        )

    def issue(
        self, name: str, names: str = "", *, encrypted: bool = False, days: int = 2
    ) -> tuple[Path, Path]:
        """Return a certificate and its key."""
        key = ["-aes256", "-pass", f"pass:{PASSWORD}"] if encrypted else []
        self.call("genpkey", "-algorithm", "RSA", "-out", f"{name}.key", *key)
        given = ["-passin", f"pass:{PASSWORD}"] if encrypted else []
        self.call("req", "-new", "-key", f"{name}.key", "-subj", f"/CN={name}", "-out", f"{name}.csr", *given)
        extension = self.folder / f"{name}.ext"
        extension.write_text(f"subjectAltName={names}\n" if names else "")
        self.call(
            *("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"),
            *("-days", str(days), "-out", f"{name}.pem", "-extfile", extension.name),
        )
        return self.folder / f"{name}.pem", self.folder / f"{name}.key"
