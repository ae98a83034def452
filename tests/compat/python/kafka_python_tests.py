"""kafka-python's own integration tests, whole: from its source distribution, against a broker that runs."""

import os
import subprocess
import sys
import tarfile
import types
from pathlib import Path

import kafka
import pytest

from scenario import BOOTSTRAP

CACHE = Path(os.environ.get("AFLUENTE_CACHE") or Path.home() / ".cache/afluente") / "compat"


def source():
    """The folder of the source distribution of the installed version, fetched once."""
    version = kafka.__version__
    folder = CACHE / f"kafka_python-{version}"
    if not folder.is_dir():
        wanted = [f"kafka-python=={version}", "--no-deps", "--no-binary=:all:", "--quiet", "-d", str(CACHE)]
        subprocess.run([sys.executable, "-m", "pip", "download", *wanted], check=True, stdout=sys.stderr)
        with tarfile.open(CACHE / f"kafka_python-{version}.tar.gz") as archive:
            archive.extractall(CACHE / "unpacked")
        # The tests import each other as a package named `test`, which Python has one of itself.
        (CACHE / "unpacked" / folder.name / "test" / "__init__.py").touch()
        (CACHE / "unpacked" / folder.name).rename(folder)
    return folder


class Service:
    """Stands for the module `test.service` of kafka-python, which its source distribution lacks: it starts brokers,
    and ours runs already."""

    def __init__(self, host, port):
        self.host, self.port = host, port

    def open(self):
        pass

    def close(self):
        pass


class Verdicts:
    """Says for each test what became of it, as the other suites do."""

    def pytest_runtest_logreport(self, report):
        name = report.nodeid.split("/")[-1]
        if report.failed:
            lines = str(report.longrepr).splitlines()
            print(f"fail {name}: {' '.join(line for line in lines if line.startswith('E '))[:500]}", flush=True)
            print(report.longrepr, file=sys.stderr)
        elif report.skipped:
            print(f"skip {name}: {report.longrepr[2] if isinstance(report.longrepr, tuple) else 'skipped'}", flush=True)
        elif report.when == "call":
            print(f"pass {name} {report.duration:.1f}s", flush=True)


if __name__ == "__main__":
    os.chdir(source())
    sys.path.insert(0, os.getcwd())
    service = types.ModuleType("test.service")
    service.ExternalService = service.SpawnedService = Service
    sys.modules["test.service"] = service
    # What its fixtures read: where the broker is, and which Kafka it is as far as features go.
    os.environ["KAFKA_URI"] = f"kafka://{BOOTSTRAP}"
    os.environ["KAFKA_VERSION"] = "4.3.1"
    os.environ["KAFKA_ROOT"] = os.getcwd()  # only looked for, not into
    arguments = ["-p", "no:terminal", "-p", "no:cacheprovider", "--assert=plain", "test/integration"]
    # These start brokers of their own with certificates, and want a broker with an authorizer.
    arguments += ["--ignore=test/integration/test_ssl_integration.py", "--ignore=test/integration/test_sasl_integration.py"]
    arguments += ["--deselect=test/integration/test_admin_integration.py::test_create_describe_delete_acls"]
    chosen = ["-k", " or ".join(sys.argv[1:])] if len(sys.argv) > 1 else []
    status = pytest.main(arguments + chosen, plugins=[Verdicts()])
    sys.stdout.flush()
    os._exit(int(status))
