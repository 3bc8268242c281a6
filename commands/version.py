"""Which program this is: its version, and in a working copy the commit."""

from __future__ import annotations

import subprocess
from pathlib import Path

VERSION = "0.1.0"
ROOT = Path(__file__).resolve().parent.parent
_TIMEOUT_S = 5.0


def code_version(root: Path = ROOT) -> str:
    """Return the version and, where the program runs from a working copy, its commit; `+changed` where files differ
    from it: `0.1.0 1a2b3c4d5e6f+changed`."""
    if not (root / ".git").exists():
        return VERSION
    commit, changes = _git(root, "rev-parse", "--short=12", "HEAD"), _git(root, "status", "--porcelain")
    if commit is None or changes is None:
        return VERSION
    return f"{VERSION} {commit}{'+changed' if changes else ''}"


def _git(root: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(root), "--no-optional-locks", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
