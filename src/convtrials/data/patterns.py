"""Regular expressions of other people, searched for in paths by a process that can be ended."""

import json
import subprocess
import sys
from collections.abc import Sequence

from convtrials.core.errors import DataError

MAX_PATTERN = 1000
_LONGEST_PATH = 4096
#: Seconds that a pattern may take, at least, and paths a second beyond that.
PATTERN_SECONDS = 30.0
_PATHS_PER_SECOND = 10_000

# Run by a bare interpreter: `re` cannot be interrupted from within its process.
_MATCH = (
    "import json,re,sys\n"
    "pattern,paths=json.load(sys.stdin)\n"
    "find=re.compile(pattern).search\n"
    "found=map(find,paths)\n"
    "json.dump([None if m is None else (m[1] if m.re.groups else m[0]) for m in found],sys.stdout)\n"
)


def found_in_paths(option: str, pattern: str, paths: Sequence[str]) -> list[str | None]:
    """Search for a pattern in every path.

    Parameters
    ----------
    option : str
        What the pattern was given for, for messages.
    pattern : str
        A sound regular expression.
    paths : sequence of str

    Returns
    -------
    list of str or None
        Group 1 of the first match, the whole match where there are no groups; None where nothing matches, or group 1
        takes no part.

    Raises
    ------
    DataError
        The pattern or a path is too long, or the search takes too long: some patterns take for ever on some texts.
    """
    if len(pattern) > MAX_PATTERN:
        raise DataError(
            f"{option}: a pattern of {len(pattern):,} characters; at most {MAX_PATTERN:,} are read"
        )
    longest = max(paths, key=len, default="")
    if len(longest) > _LONGEST_PATH:
        raise DataError(f"{option}: {longest[:80]}...: a path of {len(longest):,} characters")
    seconds = PATTERN_SECONDS + len(paths) / _PATHS_PER_SECOND
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-W", "ignore", "-c", _MATCH],
            input=json.dumps([pattern, list(paths)]),
            capture_output=True,
            encoding="ascii",
            timeout=seconds,
            check=True,
        )
    except subprocess.TimeoutExpired as error:
        raise DataError(
            f"{option}: {pattern!r:.80} needs more than {seconds:.0f} s for {len(paths):,} paths; repetitions within "
            "repetitions, such as (a+)+, take for ever"
        ) from error
    except (OSError, subprocess.CalledProcessError) as error:
        said = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
        raise DataError(f"{option}: {pattern!r:.80}: {said[-1] if said else 'failed'}") from error
    found: list[str | None] = json.loads(done.stdout)
    return found
