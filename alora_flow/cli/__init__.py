"""The command line. Imported before all that its commands import: nothing of that is garbage, and looking for garbage
in it takes a quarter of their time."""

import gc

gc.set_threshold(50_000)
