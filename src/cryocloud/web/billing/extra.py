"""What selling needs besides the platform itself: asked for at the start, where something is sold."""

from __future__ import annotations

from importlib.util import find_spec

from cryocloud.web.billing.rules import rules_file
from cryocloud.web.configuration import PREFIX, ConfigurationError, configuration

MODULES = ("fpdf", "saxonche", "stdnum")


def require_extra() -> None:
    """Raise where invoices could not be made later."""
    missing = [name for name in MODULES if find_spec(name) is None]
    if rules_file() is None:
        missing.append("the rules of EN 16931")
    if configuration().billing is not None and missing:
        raise ConfigurationError(
            f"{PREFIX}BILLING: something is sold, and {', '.join(missing)} is not installed, without which no invoice "
            "can be made; install both: pip install 'cryocloud[billing]' and "
            "pip install --no-deps mcp-einvoicing-core==1.34.1"
        )
