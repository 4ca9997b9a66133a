"""`pytest --update` writes the expected outcome of every case file anew. Read the difference."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--processor", default="cpu", choices=["cpu", "plain"], help="what the engine's tests compute with"
    )
    parser.addoption("--update", action="store_true", help="write what is expected in tests/cases anew")


@pytest.fixture
def update(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--update", default=False))
