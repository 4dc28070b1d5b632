import json
import subprocess
import sys
from pathlib import Path

from app.main import create_app
from app.web.problems import MEDIA_TYPE

ROOT = Path(__file__).parents[2]
STARTS = """
import sys
for name in ("torch", "numpy", "pyarrow", "worker"):
    sys.modules[name] = None
from app.main import create_app
print(len(create_app().openapi()["paths"]))
"""


def test_the_api_starts_where_nothing_of_the_worker_is_installed() -> None:
    done = subprocess.run([sys.executable, "-c", STARTS], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 25


def test_the_document_in_the_repository_is_this_one() -> None:
    found = json.dumps(create_app().openapi(), indent=2, sort_keys=True) + "\n"
    assert (ROOT / "openapi.json").read_text() == found, "write it anew: python -m tests.app.test_main"


def test_every_error_of_every_operation_is_a_problem() -> None:
    document = create_app().openapi()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert {"400", "413", "422", "500"} <= set(operation["responses"]), (method, path)
            for status, response in operation["responses"].items():
                if int(status) >= 400 and path != "/readyz":
                    assert list(response["content"]) == [MEDIA_TYPE], (method, path, status)
            assert path in {"/healthz", "/readyz", "/signing-keys"} or operation["security"] == [{"ApiKey": []}], (
                method,
                path,
            )


if __name__ == "__main__":
    (ROOT / "openapi.json").write_text(json.dumps(create_app().openapi(), indent=2, sort_keys=True) + "\n")
