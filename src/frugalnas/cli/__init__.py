"""The command line: every verb of the way from images to a device. Bad input ends in one clear line and exit code 2."""

from __future__ import annotations

import sys
from typing import Any

import typer

from frugalnas.cli.app import app, complain
from frugalnas.core import InputError

# A command is there once its module is; --help has them in this order.
# isort: off
from frugalnas.cli import search  # noqa: F401
from frugalnas.cli import look  # noqa: F401
from frugalnas.cli import watch  # noqa: F401
from frugalnas.cli import train  # noqa: F401
from frugalnas.cli import use  # noqa: F401
from frugalnas.cli import export  # noqa: F401
from frugalnas.cli import latency  # noqa: F401
from frugalnas.cli import fit  # noqa: F401
from frugalnas.cli import compare  # noqa: F401
from frugalnas.cli import proxies  # noqa: F401
from frugalnas.cli import rank  # noqa: F401
from frugalnas.cli import approximate  # noqa: F401


def main() -> None:
    """Run the command line; turns what the user can mend into one line on stderr and exit code 2."""
    # the parent of all usage errors, by a road that is there whether typer brings click along or imports it
    usage_error: Any = typer.BadParameter.__mro__[2]
    try:
        code = app(standalone_mode=False)
    except InputError as error:
        code = complain(str(error))
    except usage_error as error:
        code = complain(f"{error.format_message()} (try: frugalnas --help)")
    except (typer.Abort, KeyboardInterrupt):
        code = 130  # before anything was begun
    except OSError as error:
        code = complain(str(error))
    sys.exit(code if isinstance(code, int) else 0)
