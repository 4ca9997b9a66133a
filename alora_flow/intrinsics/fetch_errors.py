"""What can go wrong with a download, in words that say what to do."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub import errors as hub

from alora_flow.errors import BadInput, FetchFailed, FlowError, ModelNotFound
from alora_flow.intrinsics.hub import MAIN, HubReference, hub_cache

AGAIN = "run the command again: what has come is kept"


@contextmanager
def explained(wanted: HubReference, endpoint: str) -> Iterator[None]:
    """Errors of huggingface_hub, of the connection and of the disk as those of alora-flow."""
    try:
        yield
    except FlowError:
        raise
    except (hub.HTTPError, hub.EntryNotFoundError, hub.HFValidationError, OSError, ValueError) as error:
        raise _explain(error, wanted, endpoint) from error


def _explain(error: Exception, wanted: HubReference, endpoint: str) -> FlowError:
    page = f"{endpoint}/{wanted.repository}"
    token = "" if os.environ.get("HF_TOKEN") else ", and HF_TOKEN is not set"
    match error:
        case hub.OfflineModeIsEnabled():
            return FetchFailed(f"{wanted} can't be fetched: HF_HUB_OFFLINE is set", "unset it for this command")
        case hub.GatedRepoError():
            return BadInput(
                f"{wanted.repository} is gated: its owner gives access to those who ask{token}",
                f"ask on {page}, then set HF_TOKEN to a token of that account",
            )
        case hub.RepositoryNotFoundError():
            return ModelNotFound(
                f"there is no repository {wanted.repository} on {endpoint}, or it is private{token}",
                "a private one needs HF_TOKEN",
            )
        case hub.RevisionNotFoundError():
            return ModelNotFound(
                f"{wanted.repository} has no revision '{wanted.revision or MAIN}'", f"see {page}/tree/{MAIN}"
            )
        case hub.HfHubHTTPError(response=response):
            return FetchFailed(f"{endpoint} answers {response.status_code} for {wanted}", AGAIN)
        case hub.HTTPError():
            return FetchFailed(f"{endpoint} can't be reached, or breaks off: {error or type(error).__name__}", AGAIN)
        case OSError(errno=errno.ENOSPC | errno.EDQUOT):
            return FetchFailed(f"the disk of {hub_cache()} is full", f"make room; {AGAIN}")
        case OSError(strerror=str(reason), filename=filename):
            return FetchFailed(f"{wanted} can't be kept: {filename}: {reason}", "HF_HUB_CACHE names another folder")
        case _:
            return FetchFailed(f"{wanted} can't be fetched: {error}", AGAIN)
