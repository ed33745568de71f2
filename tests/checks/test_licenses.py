import importlib.util
from pathlib import Path

import pytest

CHECKS = Path(__file__).parents[2] / "checks"
spec = importlib.util.spec_from_file_location("licenses", CHECKS / "licenses.py")
licenses = importlib.util.module_from_spec(spec)
spec.loader.exec_module(licenses)


@pytest.mark.parametrize(("text", "forbidden"), [
    ("BSD-3-Clause", False),
    ("Apache-2.0 AND MIT", False),
    ("MPL-2.0", False),
    ("GPL-2.0-only", True),
    ("LGPL-3.0-or-later", True),
    ("GNU General Public License v3 (GPLv3)", True),
    ("GPL-2.0-only OR MIT", False),
    ("BSD-3-Clause AND GPL-3.0-or-later WITH GCC-exception-3.1", False),
])  # fmt: skip
def test_copyleft_is_told_from_permissive(text: str, forbidden: bool) -> None:
    assert licenses.is_forbidden(text) is forbidden


@pytest.mark.parametrize(("text", "forbidden"), [
    ("LGPL-3.0-or-later", False),
    ("GNU Lesser General Public License v3 or later (LGPLv3+)", False),
    ("MIT", False),
    ("GPL-3.0-or-later", True),
    ("AGPL-3.0-only", True),
    ("LGPL-2.1-only AND GPL-2.0-only", True),
    ("GNU General Public License v3 (GPLv3)", True),
])  # fmt: skip
def test_the_lesser_license_is_allowed_in_named_extras_only(text: str, forbidden: bool) -> None:
    assert licenses.is_forbidden(text, is_lesser_allowed=True) is forbidden


def test_an_extra_that_may_bring_the_lesser_license_is_optional_and_says_why() -> None:
    assert not set(licenses.LGPL_EXTRAS) & set(licenses.EXTRAS)
    assert all(len(reason) > 20 for reason in licenses.LGPL_EXTRAS.values())


def test_closure_follows_extras() -> None:
    assert {"cryocloud", "pydantic", "torch", "numpy"} <= licenses.installed_closure("cryocloud", ("engine",))
    assert "torch" not in licenses.installed_closure("cryocloud", ())
