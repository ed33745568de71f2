"""Adds the job types beside this file in every process that has this folder on PYTHONPATH."""

from pathlib import Path

import cryocloud.catalog.types
import cryocloud.catalog.workflows
import cryocloud.jobs

HERE = Path(__file__).parent
cryocloud.catalog.types.__path__.append(str(HERE / "catalog"))
cryocloud.catalog.workflows.__path__.append(str(HERE / "workflows"))
cryocloud.jobs.__path__.append(str(HERE / "jobs"))
