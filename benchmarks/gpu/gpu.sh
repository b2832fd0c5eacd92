#!/usr/bin/env bash
# Measures training and inference on a GPU in under 8 minutes: one table on standard output, all figures in
# ${OUT:-.}/gpu.json. From a checkout alone: nothing of convtrials needs to be installed.
#
#   bash benchmarks/gpu/gpu.sh            the real thing
#   bash benchmarks/gpu/gpu.sh --small    a minute on a CPU: does it run?
#
#   PYTHON=...   a Python 3.11 or newer that has torch; by default .venv/bin/python or python3, whichever sees a GPU
#   DATA=...     images for recipes/fast.yaml (a built-in name or a path); by default drawn ones
#   WHEELS=...   a folder of wheels, for small packages that are missing on a machine without network
#   PARTS="..."  only these parts
set -u
cd "$(dirname "$0")/../.." || exit 2
small=''
case "${1:-}" in
--small) small=--small ;;
'') ;;
*) echo "usage: bash benchmarks/gpu/gpu.sh [--small]" >&2; exit 2 ;;
esac
out="${OUT:-.}/gpu.json"
began=$SECONDS
budget=465 # seconds in all, whatever the parts' own limits
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT

has_torch() { "$1" -c 'import sys, torch; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
sees_gpu() { "$1" -c 'import sys, torch; sys.exit(not torch.cuda.is_available() or sys.version_info < (3, 11))' 2>/dev/null; }

python=${PYTHON:-}
for test in sees_gpu has_torch; do
    for candidate in .venv/bin/python python3; do
        [ -z "$python" ] && $test "$candidate" && python=$candidate
    done
done
if [ -z "$python" ] || ! has_torch "$python"; then
    echo "gpu.sh: no Python 3.11 or newer with torch here; name one with PYTHON=/path/to/python" >&2
    exit 2
fi

# What importing the engine needs besides torch. --no-deps: the torch that is here stays.
export PYTHONPATH="$PWD/src${PYTHONPATH:+:$PYTHONPATH}"
missing=$("$python" - <<'PYTHON_END'
from importlib.util import find_spec
needed = {
    "lightning_fabric": "lightning-fabric lightning-utilities", "pydantic": "pydantic annotated-types typing-inspection",
    "pydantic_core": "pydantic-core", "safetensors": "safetensors", "yaml": "PyYAML", "numpy": "numpy", "PIL": "pillow",
    "tensorboardX": "tensorboardX protobuf", "packaging": "packaging", "typing_extensions": "typing-extensions",
}
print(" ".join(packages for module, packages in needed.items() if find_spec(module) is None))
PYTHON_END
)
if [ -n "$missing" ]; then
    echo "gpu.sh: installing what is missing: $missing" >&2
    from=${WHEELS:+--no-index --find-links $WHEELS}
    # shellcheck disable=SC2086
    timeout 60 "$python" -m pip install --quiet --no-deps --target "$work/site" ${from:-} \
        --constraint constraints.txt $missing >&2 || echo "gpu.sh: not all could be installed" >&2
    export PYTHONPATH="$work/site:$PYTHONPATH"
fi

measure() { # part, seconds
    local left=$((budget - (SECONDS - began)))
    local limit=$(($2 < left ? $2 : left))
    case " ${PARTS:-$1} " in *" $1 "*) ;; *) return ;; esac
    echo "gpu.sh: $1 (at most $limit s)" >&2
    : >"$work/$1.jsonl"
    : >"$work/$1.err"
    if [ "$limit" -gt 0 ]; then
        timeout --foreground --kill-after=5 "$limit" "$python" -m benchmarks.gpu.parts "$1" $small \
            >"$work/$1.jsonl" 2>"$work/$1.err"
        echo $? >"$work/$1.code"
    else
        echo 124 >"$work/$1.code"
    fi
}

measure matmul 40
measure replicas-quarter 90
measure alexnet 90
measure fast 70
measure replicas-full 80
measure vgg11 60
measure inference 40
"$python" -m benchmarks.gpu.table "$work" "$out" || exit 1
echo "gpu.sh: $((SECONDS - began)) s; figures in $out" >&2
