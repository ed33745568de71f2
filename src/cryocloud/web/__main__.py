"""``python -m cryocloud.web COMMAND``: Django's management commands, and ours."""

from __future__ import annotations

import os
import sys

from cryocloud.web.configuration import PREFIX, ConfigurationError

BAD_INPUT = 2


def main(arguments: list[str]) -> int:
    os.umask(0o077)
    if "--home" in arguments[:-1]:
        at = arguments.index("--home")
        os.environ[PREFIX + "HOME"] = arguments[at + 1]
        arguments = arguments[:at] + arguments[at + 2 :]
    try:
        if arguments[:1] == ["up"]:  # the parent of all processes stays small: no Django in it
            from cryocloud.web.supervisor import up

            return up(arguments[1:])
        from django.core.management import execute_from_command_line

        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cryocloud.web.settings")
        execute_from_command_line(["cryocloud.web", *arguments])
    except ConfigurationError as error:
        print(f"cryocloud: {error}", file=sys.stderr)
        return BAD_INPUT
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
