"""The project that a spec belongs to: its folder, its files and its git history, read only."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from pytest_mle.errors import InputError
from pytest_mle.inputs.trusted_path import resolve_trusted

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pytest_mle.errors import Location

GIT_TIMEOUT_S = 60
# Neither hooks nor a file-system monitor that a repository configures may run, and reading takes no locks.
_SAFE = ("-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}", "-c", "protocol.allow=never")


@dataclass(frozen=True)
class Project:
    """What a check may see of the project besides its declared inputs.

    ``root`` is the spec's folder, resolved; ``allowed_roots`` are further folders that the invoker has granted.
    """

    root: Path
    allowed_roots: tuple[Path, ...] = ()

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.root.name

    def file(self, path: str, location: Location | None = None) -> Path:
        """Return a path (relative to ``root``), resolved; the file need not exist.

        Raises :class:`~pytest_mle.errors.TrustError` if it leads out of ``root`` and ``allowed_roots``.
        """
        return resolve_trusted(path, self.root, allowed_roots=self.allowed_roots, location=location)

    @cached_property
    def repository(self) -> Repository | None:
        """The git repository that holds ``root``; None if there is none.

        Raises :class:`~pytest_mle.errors.InputError` if there is one and git is not installed.
        """
        return self.repository_of(self.root)

    def repository_of(self, folder: Path) -> Repository | None:
        """Return the innermost git repository that holds a resolved folder, for instance a submodule; or None.

        Raises :class:`~pytest_mle.errors.InputError` if there is one and git is not installed.
        """
        top = next((one for one in (folder, *folder.parents) if (one / ".git").exists()), None)
        if top is None:
            return None
        if shutil.which("git") is None:
            raise InputError(f"{top} is a git repository, but git is not installed here")
        return Repository(top)


@dataclass(frozen=True, slots=True)
class Repository:
    """A git repository; ``root`` is its top folder."""

    root: Path

    def git(self, *arguments: str) -> str | None:
        """Run git and return what it printed, without the last newline; None if it says no (exit code 1 or 128).

        Raises :class:`~pytest_mle.errors.InputError` if git cannot run or hangs.
        """
        printed = self._run(arguments, b"")
        return None if printed is None else printed.decode(errors="surrogateescape").rstrip("\n")

    def _run(self, arguments: tuple[str, ...], given: bytes) -> bytes | None:
        command = ("git", "--no-optional-locks", "--no-pager", *_SAFE, "-C", str(self.root), *arguments)
        try:
            done = subprocess.run(  # noqa: S603  the arguments are ours, and no shell reads them
                command, capture_output=True, timeout=GIT_TIMEOUT_S, check=False, input=given
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise InputError(f"git {arguments[0]} failed in {self.root}: {error}") from error
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip()
            if "dubious ownership" in said:
                raise InputError(f"git refuses {self.root}: {said.splitlines()[0]}")
            return None
        return done.stdout

    @property
    def head(self) -> str | None:
        """The commit that is checked out; None before the first one."""
        return self.git("rev-parse", "--verify", "--quiet", "HEAD^{commit}")

    @property
    def is_shallow(self) -> bool:
        """Whether older commits were not cloned, as CI systems do by default."""
        return self.git("rev-parse", "--is-shallow-repository") == "true"

    def has_commit(self, commit: str) -> bool:
        """Say whether a commit is in the repository."""
        if not commit or commit.startswith("-"):
            return False
        return self.git("rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}") is not None

    def committed_files(self, folder: Path) -> dict[str, str]:
        """Return the files of the commit that is checked out, in a folder or one file, without links and submodules.

        Their path relative to ``root`` to the name of their content (its git hash).
        """
        listed = self.git("ls-tree", "-r", "-z", "--full-name", "HEAD", "--", str(folder))
        entries = (entry.partition("\t") for entry in (listed or "").split("\0") if entry)
        return {path: about.split()[2] for about, _, path in entries if about.startswith("100")}

    def small_contents(self, names: Iterable[str], largest: int) -> dict[str, bytes]:
        """Return committed contents of at most ``largest`` bytes by name; larger and absent ones are left out."""
        asked = "\n".join(dict.fromkeys(names)).encode()
        check = self._run(("cat-file", "--batch-check=%(objectname) %(objectsize)", "--buffer"), asked) or b""
        lines = [line.split() for line in check.splitlines()]
        small = [line[0] for line in lines if line[1:] and line[1].isdigit() and int(line[1]) <= largest]
        printed = self._run(("cat-file", "--batch=%(objectname) %(objectsize)", "--buffer"), b"\n".join(small)) or b""
        contents, start = {}, 0
        while start < len(printed):
            end = printed.index(b"\n", start)
            name, size = printed[start:end].split()
            contents[name.decode()] = printed[end + 1 : end + 1 + int(size)]
            start = end + 2 + int(size)
        return contents
